"""Masked words under a label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from models.encoder import Encoded
from models.masking import mask_words
from models.tasks.masked_words import fitting_words, hidden_words, perplexity
from models.tasks.task import Batch, Examples, Row, Task, collate_ids, labels_of
from models.tasks.video_text import text_ids
from models.vocabulary import Vocabulary

REFERENCE_SEED = 12345
"""Of the masks of every example in 1024er/cbert_aug."""
STD = 0.02
"""Of fresh label embeddings, as in BERT."""


@dataclass(frozen=True)
class ConditionalLM(Task):
    """Conditional BERT: hidden words are predicted from the others and the sentence's label (Wu et al. 2018,
    arXiv 1812.06705).

    Embeddings of labels take the place of segment embeddings: every position of a sentence has its label's. As many
    labels as the encoder has segments start from those; more start around segment A's.
    """

    columns: ClassVar[tuple[str, ...]] = ("id", "text", "label", "split")
    example_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("input_ids", pa.list_(pa.int32())),
            ("label", pa.int32()),
            ("length", pa.int32()),
            ("split", pa.string()),
        ]
    )
    prediction_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("label", pa.string()),
            ("masks", pa.list_(pa.list_(pa.struct([("word", pa.string()), ("probability", pa.float32())])))),
        ]
    )
    masked_lm: ClassVar[bool] = True
    learned: ClassVar[tuple[str, ...]] = ("labels",)

    labels: tuple[str, ...] = ()
    """The labels; empty for those of the training rows, sorted."""
    mask_probability: float = 0.15
    """Share of a sentence's wordpieces to predict; 80 % of them masked, 10 % random, 10 % kept."""
    most_masks: int = 20
    """Wordpieces of a sentence to predict at most."""
    max_tokens: int = 64
    """Wordpieces of a sentence, [CLS] and [SEP] included; of longer ones the end is cut."""
    faithful: bool = False
    """As 1024er/cbert_aug does: the same positions of a sentence are masked in every epoch, a share of all positions
    with [CLS] and [SEP]; random words are words of the same sentence; more than two labels start from noise alone."""

    # ------------------------------------------------------------------------------------------- examples

    def learn(self, tables: Iterable[pa.Table]) -> Self:
        return replace(self, labels=self.labels or labels_of(tables))

    def check(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Words that stand alone and pieces that go on a word are told apart by WordPiece's mark."""
        if not Vocabulary.of(tokenizer).is_wordpiece:
            raise ValueError("single words are replaced, which BERT's WordPiece tells from pieces of words")

    def encode(self, row: Row, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
        if row.get("label") not in self.labels:
            raise ValueError(f"the label {row.get('label')!r} is none of {', '.join(self.labels)}")
        pieces = text_ids(row["text"], tokenizer)[: self.max_tokens - 2]
        if not pieces:
            raise ValueError("the text is empty")
        ids = [tokenizer.cls_token_id, *pieces, tokenizer.sep_token_id]
        label = self.labels.index(row["label"])
        named = {"id": row.get("id"), "split": row.get("split")}
        return [{**named, "input_ids": ids, "label": label, "length": len(ids)}]

    def draw(self, examples: Examples, index: int, rng: np.random.Generator, vocabulary: Vocabulary) -> dict[str, Any]:
        """Hide words as BERT does, never [CLS] or [SEP]."""
        example = examples[index]
        if self.faithful:
            rng = np.random.default_rng(REFERENCE_SEED)
        ids = np.array(example["input_ids"], np.int64)
        words = ids[1:-1].copy()
        share = self.mask_probability * (len(ids) if self.faithful else len(words))
        positions, targets = mask_words(ids, np.arange(1, len(ids) - 1), min(share, self.most_masks), rng, vocabulary)
        if self.faithful:
            random = positions[(ids[positions] != vocabulary.mask) & (ids[positions] != targets)]
            ids[random] = rng.choice(words, len(random))
        return {**example, "input_ids": ids, "positions": positions, "targets": targets}

    def collate(self, examples: Sequence[Row], vocabulary: Vocabulary) -> Batch:
        """Every position has its sentence's label for a segment. ``labels`` holds of drawn examples the masked words'
        ``position`` (in the flattened batch) and ``target``."""
        batch = collate_ids(examples, vocabulary)
        label_B = torch.tensor([int(e["label"]) for e in examples])
        batch.token_type_ids_BL = label_B[:, None].expand_as(batch.input_ids_BL).contiguous()
        if "targets" in examples[0]:
            batch.labels = hidden_words(list(enumerate(examples)), batch.input_ids_BL.shape[1])
            batch.counts["loss"] = float(len(batch.labels["target"]))
        return batch

    # ------------------------------------------------------------------------------------------- objective

    def adapt(self, pretrained: PreTrainedModel) -> None:
        embeddings: Any = getattr(pretrained.base_model, "embeddings", None)
        table = getattr(embeddings, "token_type_embeddings", None)
        if table is None:
            kind = pretrained.config.model_type
            raise ValueError(f"this {kind} has no segment embeddings for labels to take the place of, as BERT has")
        if table.num_embeddings != len(self.labels):
            width: int = table.embedding_dim
            start = torch.zeros(width) if self.faithful else table.weight.detach()[0]
            rows = start + STD * torch.randn(len(self.labels), width)
            table.weight, table.num_embeddings = nn.Parameter(rows), len(self.labels)
            pretrained.config.type_vocab_size = len(self.labels)

    def head(self, config: PreTrainedConfig) -> nn.Module:
        """None of its own: words are predicted by the encoder's output layer."""
        return nn.Identity()

    def loss(self, head: nn.Module, encoded: Encoded, batch: Batch, totals: Mapping[str, float]) -> dict[str, Tensor]:
        assert encoded.words is not None
        log_p = encoded.words.log_p(encoded.at(batch.labels["position"]), batch.labels["target"])
        return {"loss": -log_p.sum() / totals["loss"]}

    # ------------------------------------------------------------------------------------------- answers

    def evaluate(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """For each sentence how many words were hidden, how many found, and their summed log-probability."""
        assert encoded.words is not None
        log_p, right = encoded.words.scored(encoded.at(batch.labels["position"]), batch.labels["target"])
        rows, at = [], 0
        for n in (len(e["targets"]) for e in batch.examples):
            mine = slice(at, at + n)
            rows.append({"n": n, "right": int(right[mine].sum()), "log_p": float(log_p[mine].sum())})
            at += n
        return rows

    def metrics(self, rows: Iterable[Row]) -> dict[str, float]:
        """Accuracy and perplexity of hidden words."""
        n, right, log_p = np.sum([(r["n"], r["right"], r["log_p"]) for r in rows], axis=0)
        return {"accuracy": right / n, "perplexity": perplexity(n, log_p)}

    def predict(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """The likeliest words at each [MASK] of the text, under its label."""
        return [
            {"id": example["id"], "label": self.labels[example["label"]], "masks": masks}
            for example, masks in zip(batch.examples, fitting_words(encoded, batch, vocabulary), strict=True)
        ]
