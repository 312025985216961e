"""A text, or a pair of texts, to a label or to a number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from models.encoder import Encoded
from models.scoring import glue
from models.sentence_head import SentenceHead
from models.tasks.segments import encode_segments
from models.tasks.task import Batch, Row, Task, collate_ids, label_of, labels_of
from models.vocabulary import Vocabulary

EXAMPLE = [
    ("id", pa.string()),
    ("input_ids", pa.list_(pa.int32())),
    ("token_type_ids", pa.list_(pa.int8())),
    ("gold", pa.string()),
    ("length", pa.int32()),
    ("split", pa.string()),
]
"""The columns of an example of both tasks."""
NO_LABEL = -1


@dataclass(frozen=True)
class ClassifyText(Task):
    """One label for a text or a pair of texts, by a linear layer on the pooled [CLS] (Devlin et al. 2019, section 4.1).

    Rows have text, label and, for pairs, second.
    """

    columns: ClassVar[tuple[str, ...]] = ("id", "text", "label", "split")
    example_schema: ClassVar[pa.Schema] = pa.schema([*EXAMPLE, ("label", pa.int32())])
    prediction_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("predicted", pa.string()),
            ("probability", pa.float32()),
            ("probabilities", pa.list_(pa.struct([("label", pa.string()), ("probability", pa.float32())]))),
        ]
    )
    learned: ClassVar[tuple[str, ...]] = ("labels",)

    labels: tuple[str, ...] = ()
    """The labels; empty for those of the training rows, sorted."""
    max_tokens: int = 128
    """Wordpieces of an example, [CLS] and [SEP] included; of longer ones the end is cut, a pair's longer text first."""
    second_first: bool = False
    """Put a pair's second text first, as MT-DNN puts the hypothesis before the premise."""
    dropout: float | None = None
    """Share of the pooled state dropped in training; by default what the encoder's configuration says, else 0.1."""
    figure: Literal["accuracy", "matthews", "f1"] = "accuracy"
    """What is reported beside accuracy and macro-F1: nothing, Matthews' correlation, or F1 of the last label."""

    def learn(self, tables: Iterable[pa.Table]) -> Self:
        return replace(self, labels=self.labels or labels_of(tables))

    def encode(self, row: Row, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
        gold, split = label_of(row), row.get("split")
        if split in ("train", "dev") and gold not in self.labels:
            raise ValueError(f"the label {gold!r} is none of {', '.join(self.labels)}")
        label = self.labels.index(gold) if gold in self.labels else NO_LABEL
        return [{**_encode(row, tokenizer, self.max_tokens, self.second_first), "gold": gold, "label": label}]

    def collate(self, examples: Sequence[Row], vocabulary: Vocabulary) -> Batch:
        batch = collate_ids(examples, vocabulary)
        batch.labels["label"] = torch.tensor([int(e["label"]) for e in examples])
        batch.counts["loss"] = len(examples)
        return batch

    def head(self, config: PreTrainedConfig) -> nn.Module:
        return SentenceHead(config, len(self.labels), self.dropout)

    def log_probabilities(self, head: nn.Module, encoded: Encoded, batch: Batch) -> Tensor:
        """[B, labels], float32."""
        logits_BC: Tensor = head(encoded)
        return F.log_softmax(logits_BC, dim=-1)

    def loss(self, head: nn.Module, encoded: Encoded, batch: Batch, totals: Mapping[str, float]) -> dict[str, Tensor]:
        log_p_BC = self.log_probabilities(head, encoded, batch)
        return {"loss": F.nll_loss(log_p_BC, batch.labels["label"], reduction="sum") / totals["loss"]}

    def predict(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """The likeliest label, and all of them with their probabilities, the likeliest first."""
        answers = []
        for example, row in zip(
            batch.examples, self.log_probabilities(head, encoded, batch).exp().tolist(), strict=True
        ):
            ranked = sorted(zip(row, self.labels, strict=True), key=lambda pair: -pair[0])
            probabilities = [{"label": label, "probability": round(p, 4)} for p, label in ranked]
            best = {"predicted": ranked[0][1], "probability": probabilities[0]["probability"]}
            answers.append({"id": example["id"], **best, "probabilities": probabilities})
        return answers

    def evaluate(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        best = self.log_probabilities(head, encoded, batch).argmax(-1).tolist()
        return [
            {"gold": example["gold"], "predicted": self.labels[label]}
            for example, label in zip(batch.examples, best, strict=True)
        ]

    def metrics(self, rows: Iterable[Row]) -> dict[str, float]:
        """GLUE's figures of the rows that have a gold label. One never seen in training counts as wrong."""
        pairs = [(row["gold"], row["predicted"]) for row in rows if row["gold"] is not None]
        if not pairs:
            return {}
        gold, predicted = zip(*pairs, strict=True)
        figures = {"accuracy": glue.accuracy(gold, predicted), "macro_f1": glue.macro_f1(gold, predicted)}
        if self.figure == "matthews":
            figures["matthews"] = glue.matthews(gold, predicted)
        elif self.figure == "f1":
            figures["f1"] = glue.f1(gold, predicted, self.labels[-1])
        return figures


@dataclass(frozen=True)
class ScoreText(Task):
    """A number for a text or a pair of texts, by linear regression on the pooled [CLS] and mean squared error.

    Rows have text, label (the number) and, for pairs, second.
    """

    columns: ClassVar[tuple[str, ...]] = ("id", "text", "label", "split")
    example_schema: ClassVar[pa.Schema] = pa.schema([*EXAMPLE, ("score", pa.float32())])
    prediction_schema: ClassVar[pa.Schema] = pa.schema([("id", pa.string()), ("score", pa.float32())])

    max_tokens: int = 128
    """Wordpieces of an example, [CLS] and [SEP] included; of longer ones the end is cut, a pair's longer text first."""
    second_first: bool = False
    """Put a pair's second text first."""
    dropout: float | None = None
    """Share of the pooled state dropped in training; by default what the encoder's configuration says, else 0.1."""

    def encode(self, row: Row, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
        gold = label_of(row)
        try:
            score = math.nan if gold is None else float(gold)
        except ValueError:
            raise ValueError(f"the label {gold!r} is not a number") from None
        if row.get("split") in ("train", "dev") and not math.isfinite(score):
            raise ValueError(f"the label is {gold!r}, not a number")
        return [{**_encode(row, tokenizer, self.max_tokens, self.second_first), "gold": gold, "score": score}]

    def collate(self, examples: Sequence[Row], vocabulary: Vocabulary) -> Batch:
        batch = collate_ids(examples, vocabulary)
        batch.labels["score"] = torch.tensor([float(e["score"]) for e in examples])
        batch.counts["loss"] = len(examples)
        return batch

    def head(self, config: PreTrainedConfig) -> nn.Module:
        return SentenceHead(config, 1, self.dropout)

    def loss(self, head: nn.Module, encoded: Encoded, batch: Batch, totals: Mapping[str, float]) -> dict[str, Tensor]:
        score_B: Tensor = head(encoded).squeeze(-1)
        return {"loss": F.mse_loss(score_B, batch.labels["score"], reduction="sum") / totals["loss"]}

    def predict(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        scores = head(encoded).squeeze(-1).tolist()
        return [{"id": e["id"], "score": round(s, 4)} for e, s in zip(batch.examples, scores, strict=True)]

    def evaluate(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        scores = head(encoded).squeeze(-1).tolist()
        return [{"gold": e["gold"], "predicted": s} for e, s in zip(batch.examples, scores, strict=True)]

    def metrics(self, rows: Iterable[Row]) -> dict[str, float]:
        """Correlations with the rows that have a gold number."""
        pairs = [(float(row["gold"]), row["predicted"]) for row in rows if row["gold"] is not None]
        if not pairs:
            return {}
        gold, predicted = zip(*pairs, strict=True)
        return {"pearson": glue.pearson(gold, predicted), "spearman": glue.spearman(gold, predicted)}


def _encode(row: Row, tokenizer: PreTrainedTokenizerBase, max_tokens: int, second_first: bool) -> dict[str, Any]:
    """What examples of both tasks have: ids of the texts, and the row's names."""
    text, second = row["text"], row.get("second")
    if second is not None and second_first:
        segments = encode_segments(second, text, tokenizer, max_tokens, ("second text", "text"))
    else:
        segments = encode_segments(text, second, tokenizer, max_tokens)
    return {"id": row.get("id"), **segments, "split": row.get("split")}
