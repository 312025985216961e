"""BERT's own objective on plain text: masked words, and whether a sentence is the next one."""

from __future__ import annotations

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
from models.sentence_head import SentenceHead
from models.tasks.masked_words import fitting_words, hidden_words, perplexity, sums_by_term
from models.tasks.task import Batch, Examples, Row, Task, collate_ids
from models.tasks.video_text import stretch, text_ids
from models.vocabulary import Vocabulary
from models.words import behind_blanks

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
    """Whether half of the sequences go on with another document's sentences, which [CLS] is to notice. Where there is
    one document alone nothing is asked of [CLS]."""
    mask_probability: float = 0.15
    """Share of a sequence, [CLS] and [SEP] counted too, to predict; 80 % of it masked, 10 % random, 10 % kept."""
    whole_words: bool = False
    """Whether all wordpieces of a word are masked, or none."""
    short_share: float = 0.1
    """Share of sequences that are shorter, by any number of words."""

    def __post_init__(self) -> None:
        if self.max_length < 8:
            raise ValueError("max_length must be at least 8")

    @property
    def pooled(self) -> bool:
        return self.next_sentence

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
        texts = behind_blanks(row["sentences"], tokenizer)
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
            first, is_next = stretch(example["text"], self._room, rng), None
            input_ids = np.concatenate([cls, first, sep]).astype(np.int64)
        candidates = np.delete(np.arange(len(input_ids)), [0, len(first) + 1, len(input_ids) - 1])
        n = self.mask_probability * len(input_ids)
        positions, targets = mask_words(input_ids, candidates, n, rng, vocabulary, self.whole_words)
        token_types = (np.arange(len(input_ids)) > len(first) + 1).astype(np.int64)
        drawn = {"input_ids": input_ids, "token_type_ids": token_types, "is_next": is_next}
        return {**drawn, "positions": positions, "targets": targets}

    def _pair(
        self, examples: Examples, index: int, example: Row, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, bool | None]:
        """Some of the example's first sentences, then the others or as much of another document, and which it is; None
        where there is no other."""
        text, ends = example["text"], example["ends"]
        n_first = int(rng.integers(1, len(ends))) if len(ends) > 1 else 1
        first, rest = text[: ends[n_first - 1]], text[ends[n_first - 1] :]
        position = examples.other(index, "id", rng)
        if position is None:
            return first, rest, None
        if len(rest) and rng.random() < 0.5:
            return first, rest, True
        other = examples[position]
        start = int(rng.choice([0, *other["ends"][:-1]]))
        wanted = len(rest) or max(1, self._room - len(first))
        enough = np.searchsorted(other["ends"], start + wanted)
        return first, other["text"][start : other["ends"][: enough + 1][-1]], False

    def lay_out(self, example: Row, vocabulary: Vocabulary) -> dict[str, Any]:
        ids = np.concatenate([[vocabulary.cls], example["text"][: self._room], [vocabulary.sep]]).astype(np.int64)
        return {"input_ids": ids, "example": example}

    def collate(self, examples: Sequence[Row], vocabulary: Vocabulary) -> Batch:
        """``labels`` holds of drawn examples the masked words' ``position`` (in the flattened batch) and ``target``,
        and of pairs that are asked about ``pair`` (their rows) and ``is_next``."""
        batch = collate_ids(examples, vocabulary)
        if "targets" in examples[0]:
            batch.labels = hidden_words(list(enumerate(examples)), batch.input_ids_BL.shape[1])
            pairs = [i for i, e in enumerate(examples) if e["is_next"] is not None]
            batch.labels["pair"] = torch.tensor(pairs, dtype=torch.int64)
            batch.labels["is_next"] = torch.tensor([int(examples[i]["is_next"]) for i in pairs], dtype=torch.int64)
            batch.counts = {WORD: float(len(batch.labels["target"])), NEXT: float(len(pairs))}
        return batch

    # ------------------------------------------------------------------------------------------- objective

    def head(self, config: PreTrainedConfig) -> nn.Module:
        """Two logits for the next sentence from BERT's pooler; nothing without."""
        return SentenceHead(config, 2, dropout=0.0) if self.next_sentence else nn.Identity()

    def loss(self, head: nn.Module, encoded: Encoded, batch: Batch, totals: Mapping[str, float]) -> dict[str, Tensor]:
        assert encoded.words is not None
        log_p = encoded.words.log_p(encoded.at(batch.labels["position"]), batch.labels["target"])
        losses = {WORD: -log_p.sum() / totals[WORD]}
        if batch.counts[NEXT]:
            log_p, _ = self._next(head, encoded, batch)
            losses[NEXT] = -log_p.sum() / totals[NEXT]
        return losses

    @staticmethod
    def _next(head: nn.Module, encoded: Encoded, batch: Batch) -> tuple[Tensor, Tensor]:
        """The log-probability [p] of what each pair is, and whether that is the likelier."""
        logits_p2, target_p = head(encoded)[batch.labels["pair"]], batch.labels["is_next"]
        return -F.cross_entropy(logits_p2, target_p, reduction="none"), logits_p2.argmax(-1) == target_p

    # ------------------------------------------------------------------------------------------- answers

    def evaluate(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """For each part of the loss how many, how many right, their summed log-probability."""
        assert encoded.words is not None
        hidden_nD = encoded.at(batch.labels["position"])
        scored = {WORD: encoded.words.scored(hidden_nD, batch.labels["target"])}
        if batch.counts[NEXT]:
            scored[NEXT] = self._next(head, encoded, batch)
        return [
            {"term": term, "n": len(right), "right": int(right.sum()), "log_p": float(log_p.sum())}
            for term, (log_p, right) in scored.items()
        ]

    def metrics(self, rows: Iterable[Row]) -> dict[str, float]:
        """Accuracy and perplexity of masked words, accuracy of the next sentence."""
        sums = sums_by_term(rows)
        figures = {f"{term}_accuracy": right / n for term, (n, right, _) in sums.items()}
        if WORD in sums:
            n, _, log_p = sums[WORD]
            figures["word_perplexity"] = perplexity(n, log_p)
        return figures

    def predict(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """The likeliest words at each [MASK]."""
        found = fitting_words(encoded, batch, vocabulary)
        return [{"id": e["example"]["id"], "masks": masks} for e, masks in zip(batch.examples, found, strict=True)]


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
