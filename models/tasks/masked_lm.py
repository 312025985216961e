"""BERT's own objective on plain text: masked words, and whether a sentence is the next one."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from models.encoder import Encoded
from models.masking import mask_words
from models.tasks.task import Batch, Examples, Row, Task, collate_ids
from models.tasks.video_text import stretch, text_ids
from models.vocabulary import Vocabulary

WORD, NEXT = "word", "next_sentence"


@dataclass(frozen=True)
class MaskedLM(Task):
    """Pretraining on documents (Devlin et al. 2019, section 3.1), by the rules of google-research/bert's
    create_pretraining_data, drawn anew each time an example is seen.

    [CLS] sentences [SEP] sentences that follow, or of another document [SEP]

    Sentences are gathered until they fill a sequence; longer ones than that are cut in pieces, not cut off.
    """

    columns: ClassVar[tuple[str, ...]] = ("id", "sentences", "split")
    example_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("text", pa.list_(pa.int32())),
            ("ends", pa.list_(pa.int32())),
            ("length", pa.int32()),
            ("split", pa.string()),
        ]
    )
    prediction_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("masks", pa.list_(pa.list_(pa.struct([("word", pa.string()), ("probability", pa.float32())])))),
        ]
    )
    masked_lm: ClassVar[bool] = True
    loss_terms: ClassVar[tuple[str, ...]] = (WORD, NEXT)

    max_length: int = 128
    """Wordpieces of a sequence, [CLS] and [SEP] included."""
    next_sentence: bool = True
    """Whether half of the sequences go on with another document's sentences, which [CLS] is to notice."""
    mask_probability: float = 0.15
    """Share of the words to predict; 80 % of them masked, 10 % random, 10 % kept."""
    whole_words: bool = False
    """Whether all wordpieces of a word are masked, or none."""
    short_share: float = 0.1
    """Share of sequences that are shorter, by any number of words."""

    def __post_init__(self) -> None:
        if self.max_length < 8:
            raise ValueError("max_length must be at least 8")

    @property
    def _room(self) -> int:
        """Wordpieces beside [CLS] and [SEP]."""
        return self.max_length - (3 if self.next_sentence else 2)

    # ------------------------------------------------------------------------------------------- examples

    def most_tokens(self) -> tuple[int, tuple[str, ...]]:
        return self.max_length, ("max_length",)

    def encode(self, row: Row, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
        """A document to what fills a sequence each. A row with ``text``, which may have [MASK]s, is one to predict."""
        if "sentences" not in row:
            pieces = text_ids(row["text"], tokenizer)[: self._room]
            if not pieces:
                raise ValueError("the text is empty")
            return [self._example(row, [pieces])]
        texts = row["sentences"]
        encoded = tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"] if texts else []
        chunks = list(self._chunks(encoded, np.random.default_rng(zlib.crc32(str(row["id"]).encode()))))
        if not chunks:
            raise ValueError("the document has no words")
        return [self._example(row, chunk) for chunk in chunks]

    def _chunks(self, sentences: Sequence[list[int]], rng: np.random.Generator) -> Iterator[list[list[int]]]:
        """Sentences until there are as many wordpieces as a sequence is to have."""
        chunk: list[list[int]] = []
        target, room = self._target(rng), self._room
        for piece in (s[i : i + room] for s in sentences for i in range(0, len(s), room)):
            chunk.append(piece)
            if sum(map(len, chunk)) >= target:
                yield chunk
                chunk, target = [], self._target(rng)
        if chunk:
            yield chunk

    def _target(self, rng: np.random.Generator) -> int:
        return int(rng.integers(2, self._room + 1)) if rng.random() < self.short_share else self._room

    def _example(self, row: Row, chunk: Sequence[list[int]]) -> dict[str, Any]:
        length = min(sum(map(len, chunk)), self._room) + self.max_length - self._room
        text, ends = np.concatenate(chunk), np.cumsum([len(s) for s in chunk])
        return {"id": row.get("id"), "text": text, "ends": ends, "length": length, "split": row.get("split")}

    def draw(self, examples: Examples, index: int, rng: np.random.Generator, vocabulary: Vocabulary) -> dict[str, Any]:
        example = examples[index]
        cls, sep = np.array([vocabulary.cls]), np.array([vocabulary.sep])
        if self.next_sentence:
            first, second, is_next = self._pair(examples, index, example, rng)
            first, second = truncated_pair(first, second, self._room, rng)
            input_ids = np.concatenate([cls, first, sep, second, sep]).astype(np.int64)
        else:
            first, is_next = stretch(example["text"], self._room, rng), False
            input_ids = np.concatenate([cls, first, sep]).astype(np.int64)
        candidates = np.delete(np.arange(len(input_ids)), [0, len(first) + 1, len(input_ids) - 1])
        positions, targets = mask_words(input_ids, candidates, self.mask_probability, rng, vocabulary, self.whole_words)
        token_types = (np.arange(len(input_ids)) > len(first) + 1).astype(np.int64)
        drawn = {"input_ids": input_ids, "token_type_ids": token_types, "is_next": is_next}
        return {**drawn, "positions": positions, "targets": targets}

    def _pair(
        self, examples: Examples, index: int, example: Row, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, bool]:
        """Some of the example's first sentences, then the others or as much of another document, and which it is."""
        text, ends = example["text"], example["ends"]
        n_first = int(rng.integers(1, len(ends))) if len(ends) > 1 else 1
        first, rest = text[: ends[n_first - 1]], text[ends[n_first - 1] :]
        if len(ends) == 1 or rng.random() < 0.5:
            position = examples.other(index, "id", rng)
            if position is not None:
                other = examples[position]
                start = int(rng.choice([0, *other["ends"][:-1]]))
                enough = np.searchsorted(other["ends"], start + (len(rest) or self._room - len(first)))
                return first, other["text"][start : other["ends"][: enough + 1][-1]], False
        return first, rest, True

    def lay_out(self, example: Row, vocabulary: Vocabulary) -> dict[str, Any]:
        ids = np.concatenate([[vocabulary.cls], example["text"][: self._room], [vocabulary.sep]]).astype(np.int64)
        return {"input_ids": ids, "example": example}

    def collate(self, examples: Sequence[Row], vocabulary: Vocabulary) -> Batch:
        """``labels`` holds of drawn examples the masked words' ``position`` (in the flattened batch) and ``target``,
        and of pairs ``is_next``."""
        batch = collate_ids(examples, vocabulary)
        if "targets" in examples[0]:
            length = batch.input_ids_BL.shape[1]
            positions = np.concatenate([i * length + e["positions"] for i, e in enumerate(examples)])
            targets = np.concatenate([e["targets"] for e in examples])
            is_next = torch.tensor([int(e["is_next"]) for e in examples])
            batch.labels = {"position": torch.from_numpy(positions), "target": torch.from_numpy(targets)}
            batch.labels["is_next"] = is_next
            batch.counts = {WORD: float(len(targets)), NEXT: float(self.next_sentence and len(examples))}
        return batch

    # ------------------------------------------------------------------------------------------- objective

    def head(self, config: PreTrainedConfig) -> nn.Module:
        """BERT's pooler and two logits for the next sentence; nothing without."""
        if not self.next_sentence:
            return nn.Identity()
        width = config.hidden_size
        head = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 2))
        for layer in head:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        return head

    def loss(self, head: nn.Module, encoded: Encoded, batch: Batch, totals: Mapping[str, float]) -> dict[str, Tensor]:
        assert encoded.words is not None
        log_p = encoded.words.log_p(encoded.at(batch.labels["position"]), batch.labels["target"])
        losses = {WORD: -log_p.sum() / totals[WORD]}
        if self.next_sentence:
            log_p, _ = self._next(head, encoded, batch)
            losses[NEXT] = -log_p.sum() / totals[NEXT]
        return losses

    @staticmethod
    def _next(head: nn.Module, encoded: Encoded, batch: Batch) -> tuple[Tensor, Tensor]:
        """The same [B] of what each sequence goes on with."""
        return _scored(head(encoded.last_BLD[:, 0]), batch.labels["is_next"])

    # ------------------------------------------------------------------------------------------- answers

    def evaluate(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """For each part of the loss how many, how many right, their summed log-probability."""
        assert encoded.words is not None
        hidden_nD = encoded.at(batch.labels["position"])
        scored = {WORD: encoded.words.scored(hidden_nD, batch.labels["target"])}
        if self.next_sentence:
            scored[NEXT] = self._next(head, encoded, batch)
        return [
            {"term": term, "n": len(right), "right": int(right.sum()), "log_p": float(log_p.sum())}
            for term, (log_p, right) in scored.items()
        ]

    def metrics(self, rows: Iterable[Row]) -> dict[str, float]:
        """Accuracy and perplexity of masked words, accuracy of the next sentence."""
        sums: dict[str, np.ndarray] = {}
        for row in rows:
            sums[row["term"]] = sums.get(row["term"], np.zeros(3)) + (row["n"], row["right"], row["log_p"])
        figures = {f"{term}_accuracy": right / n for term, (n, right, _) in sums.items()}
        if WORD in sums:
            n, _, log_p = sums[WORD]
            figures["word_perplexity"] = math.exp(min(-log_p / n, 700.0))
        return figures

    def predict(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """The likeliest words at each [MASK]."""
        assert encoded.words is not None
        answers = []
        for i, laid_out in enumerate(batch.examples):
            masks = torch.from_numpy(np.flatnonzero(laid_out["input_ids"] == vocabulary.mask))
            found = encoded.words.likeliest(encoded.last_BLD[i, masks], vocabulary)
            answers.append({"id": laid_out["example"]["id"], "masks": found})
        return answers


def _scored(logits_nC: Tensor, target_n: Tensor) -> tuple[Tensor, Tensor]:
    logits_nC = logits_nC.float()
    return -F.cross_entropy(logits_nC, target_n, reduction="none"), logits_nC.argmax(-1) == target_n


def truncated_pair(
    first: np.ndarray, second: np.ndarray, room: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Both, cut to ``room`` together: word by word off the longer one (the second where they are equal), at the front
    or the end by the toss of a coin (google-research/bert, truncate_seq_pair)."""
    sizes, shorter = (len(first), len(second)), min(len(first), len(second))
    if sum(sizes) > room and 2 * shorter > room:
        sizes = (room + 1) // 2, room // 2
    elif sum(sizes) > room:
        sizes = (room - shorter, shorter) if len(second) == shorter else (shorter, room - shorter)
    return _cut(first, sizes[0], rng), _cut(second, sizes[1], rng)


def _cut(ids: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    front = int(rng.binomial(len(ids) - size, 0.5))
    return ids[front : front + size]
