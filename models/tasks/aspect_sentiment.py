"""What a text says of an aspect, by asking BERT a second sentence about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from models.encoder import Encoded
from models.scoring.aspects import SEMEVAL, SENTIHOOD, Answer, semeval_scores, sentihood_scores
from models.sentence_head import SentenceHead
from models.tasks.segments import encode_segments
from models.tasks.task import Batch, Row, Task, collate_ids
from models.vocabulary import Vocabulary

Form = Literal["QA-M", "NLI-M", "QA-B", "NLI-B"]
UNKNOWN = -1


@dataclass(frozen=True)
class JudgeAspects(Task):
    """The sentiment towards an aspect of a target, or that there is none, from a text and an auxiliary sentence
    (Sun, Huang, Qiu 2019, arXiv 1903.09588).

    Rows have text, target (null where texts are about one thing alone), aspect and label. With the forms -M a model
    chooses among the labels; with -B it says of each label whether it is true, and the likeliest wins.
    """

    columns: ClassVar[tuple[str, ...]] = ("id", "text", "target", "aspect", "label", "split")
    example_schema: ClassVar[pa.Schema] = pa.schema(
        [
            *((name, pa.string()) for name in ("id", "target", "aspect", "label")),
            ("window", pa.int32()),
            ("input_ids", pa.list_(pa.int32())),
            ("token_type_ids", pa.list_(pa.int8())),
            ("class", pa.int32()),
            ("length", pa.int32()),
            ("split", pa.string()),
        ]
    )
    prediction_schema: ClassVar[pa.Schema] = pa.schema(
        [
            *((name, pa.string()) for name in ("id", "target", "aspect", "predicted")),
            ("probability", pa.float32()),
            ("probabilities", pa.list_(pa.struct([("label", pa.string()), ("probability", pa.float32())]))),
        ]
    )

    learned: ClassVar[tuple[str, ...]] = ("labels",)
    judged_by: ClassVar[tuple[str, ...]] = ("id",)

    form: Form = "NLI-M"
    """How the second sentence is put: a question (QA) or a few words (NLI), one for all labels (M) or one each (B)."""
    labels: tuple[str, ...] = ()
    """SentiHood's labels or those of SemEval-2014 task 4, in their order, and with them the figures; empty for those
    that the training rows have."""
    max_tokens: int = 512
    """Wordpieces of an example, [CLS] and [SEP] included; of longer ones the end of the longer text is cut."""
    faithful: bool = False
    """Write QA-B as the authors' code does where there is a target ("of location - 1 - is Positive ."), not as their
    paper ("of location - 1 is Positive .")."""

    def __post_init__(self) -> None:
        if self.labels not in ((), SENTIHOOD, SEMEVAL):
            raise ValueError(f"labels must be {', '.join(SENTIHOOD)} or {', '.join(SEMEVAL)}")

    @property
    def binary(self) -> bool:
        """Whether each label has a sentence, and an example, of its own."""
        return self.form.endswith("B")

    # ------------------------------------------------------------------------------------------- examples

    def learn(self, tables: Iterable[pa.Table]) -> Self:
        if self.labels:
            return self
        found = {label for table in tables for label in table["label"].unique().to_pylist() if label}
        for labels in (SENTIHOOD, SEMEVAL):
            if found and found <= set(labels):
                return replace(self, labels=labels)
        raise ValueError(f"the labels must be of {', '.join(SENTIHOOD)} or of {', '.join(SEMEVAL)}")

    def encode(self, row: Row, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
        label, split = row.get("label"), row.get("split")
        if label not in self.labels and (label is not None or split in ("train", "dev")):
            raise ValueError(f"the label {label!r} is none of {', '.join(self.labels)}")
        if not row["aspect"]:
            raise ValueError("the aspect is empty")
        names = {"id": row.get("id"), "target": row.get("target"), "aspect": row["aspect"], "label": label}
        examples = []
        for number, asked in enumerate(self.labels if self.binary else (None,)):
            auxiliary = auxiliary_sentence(self.form, row["aspect"], row.get("target"), asked, self.faithful)
            texts, called = (row["text"], auxiliary), ("text", "auxiliary sentence")
            if self.binary:
                texts, called = texts[::-1], called[::-1]
            segments = encode_segments(*texts, tokenizer, self.max_tokens, called)
            class_ = self._class(label, asked)
            examples.append({**names, "window": number, **segments, "class": class_, "split": split})
        return examples

    def _class(self, label: str | None, asked: str | None) -> int:
        """The output that is to win."""
        if label is None:
            return UNKNOWN
        return self.labels.index(label) if asked is None else int(label == asked)

    def collate(self, examples: Sequence[Row], vocabulary: Vocabulary) -> Batch:
        batch = collate_ids(examples, vocabulary)
        batch.labels["class"] = torch.tensor([int(e["class"]) for e in examples])
        batch.counts["loss"] = float(len(examples))
        return batch

    # ------------------------------------------------------------------------------------------- objective

    def head(self, config: PreTrainedConfig) -> nn.Module:
        return SentenceHead(config, 2 if self.binary else len(self.labels))

    def loss(self, head: nn.Module, encoded: Encoded, batch: Batch, totals: Mapping[str, float]) -> dict[str, Tensor]:
        return {"loss": F.cross_entropy(head(encoded), batch.labels["class"], reduction="sum") / totals["loss"]}

    # ------------------------------------------------------------------------------------------- answers

    def predict(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """What an example says of a row's labels: their probabilities, or that of the one it asks for to be true.

        ``join`` makes the row's answer of them.
        """
        return [
            {**{name: example[name] for name in ("id", "target", "aspect")}, "scores": row[1:] if self.binary else row}
            # In double precision none of two probabilities becomes 0, and their shares stay defined.
            for example, row in zip(batch.examples, head(encoded).double().softmax(-1).tolist(), strict=True)
        ]

    def evaluate(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        answers = self.predict(head, encoded, batch, vocabulary)
        return [{**answer, "label": e["label"]} for e, answer in zip(batch.examples, answers, strict=True)]

    def join(self, windows: Sequence[Row]) -> dict[str, Any]:
        """The labels' probabilities, those of the forms -B scaled to sum to 1."""
        scores = [score for window in windows for score in window["scores"]]
        shares = {label: score / sum(scores) for label, score in zip(self.labels, scores, strict=True)}
        names = {name: value for name, value in windows[0].items() if name != "scores"}
        if "label" in names:
            return {**names, "scores": shares}
        ranked = sorted(shares, key=lambda label: -shares[label])
        probabilities = [{"label": label, "probability": round(shares[label], 4)} for label in ranked]
        best = {"predicted": ranked[0], "probability": probabilities[0]["probability"]}
        return {**names, **best, "probabilities": probabilities}

    def metrics(self, rows: Iterable[Row]) -> dict[str, float]:
        """The figures of the data's official rules, of the rows that have a label."""
        answers = [
            Answer((row["id"], row["target"]), row["aspect"], row["label"], row["scores"])
            for row in rows
            if row["label"] is not None
        ]
        if not answers:
            return {}
        return sentihood_scores(answers) if self.labels == SENTIHOOD else semeval_scores(answers)


def auxiliary_sentence(
    form: Form, aspect: str, target: str | None, label: str | None = None, faithful: bool = False
) -> str:
    """The second sentence (section 2.2 of the paper). ``label`` is the one asked for, with the forms -B alone.

    Without a target, QA-M asks of "it" and the others say nothing of one, as the authors' code has it.
    """
    if form == "QA-M":
        return f"what do you think of the {aspect} of {'it' if target is None else target} ?"
    named = aspect if target is None else f"{target} - {aspect}"
    if form == "NLI-M":
        return named
    if form == "NLI-B":
        return f"{label} - {named}"
    of = "" if target is None else f" of {target}{' -' if faithful else ''}"
    return f"the polarity of the aspect {aspect}{of} is {label} ."
