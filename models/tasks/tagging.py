"""A tag for every word: names in text, parts of speech."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, ClassVar, Literal, Self

import pyarrow as pa
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from models.encoder import Encoded
from models.scoring.spans import span_scores, word_accuracy
from models.tag_head import UNKNOWN, TagHead
from models.tag_schemes import OUTSIDE, mark_spans, repair, spans_of, tags_of
from models.tasks.tagged_words import collate_words, tag_numbers, terms, words_of
from models.tasks.task import Batch, Row, Task, collate_ids
from models.vocabulary import Vocabulary
from models.words import checked_pieces, pieces_of, windows


@dataclass(frozen=True)
class TagWords(Task):
    """A tag for every word, read from its first wordpiece (Devlin et al. 2019, section 5.3).

    Rows have words (or, to be answered, text, which is split at blanks), tags and, where known, document. Of a
    sentence that is longer than an example the rest is context, and each part of it is tagged by itself.
    """

    columns: ClassVar[tuple[str, ...]] = ("id", "words", "tags", "split")
    example_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("window", pa.int32()),
            ("words", pa.list_(pa.string())),
            ("gold", pa.list_(pa.string())),
            ("input_ids", pa.list_(pa.int32())),
            ("first", pa.list_(pa.int32())),
            ("targets", pa.list_(pa.int32())),
            ("length", pa.int32()),
            ("split", pa.string()),
        ]
    )
    prediction_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("tagged", pa.list_(pa.struct([("word", pa.string()), ("tag", pa.string())]))),
            (
                "spans",
                pa.list_(
                    pa.struct(
                        [("label", pa.string()), ("text", pa.string()), ("start", pa.int32()), ("end", pa.int32())]
                    )
                ),
            ),
        ]
    )
    learned: ClassVar[tuple[str, ...]] = ("tags",)

    tags: tuple[str, ...] = ()
    """The tags; empty for those of the training rows, sorted."""
    scheme: Literal["BIO", "BIOES"] = "BIO"
    """How the model writes spans, which rows have as BIO. Tags that mark no spans stay as they are."""
    crf: bool = False
    """Decode with a conditional random field over the words."""
    document_context: bool = False
    """Fill each example with the neighbouring sentences of the document, as the paper does: by whole words, evenly on
    both sides. Rows whose document is null have none."""
    max_tokens: int = 512
    """Wordpieces of an example, [CLS], [SEP] and context included."""

    # ------------------------------------------------------------------------------------------- examples

    def learn(self, tables: Iterable[pa.Table]) -> Self:
        if self.tags:
            return self
        found = {tag for table in tables for row in table["tags"].to_pylist() for tag in row or []}
        if not found:
            raise ValueError("the training rows have no tags")
        if self.scheme == "BIOES" and mark_spans(found):
            labels = {tag.partition("-")[2] for tag in found if tag != OUTSIDE}
            found = {OUTSIDE, *(f"{prefix}-{label}" for prefix in "BIES" for label in labels)}
        return replace(self, tags=tuple(sorted(found)))

    @property
    def spans(self) -> bool:
        """Whether the tags mark spans."""
        return mark_spans(self.tags)

    @property
    def looks_around(self) -> bool:
        return self.document_context

    def in_context(self, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase) -> Iterable[Row]:
        """The rows, each with the pieces of its document's words ``before`` and ``after`` it."""
        return self._with_neighbours(rows, tokenizer) if self.document_context else rows

    def _with_neighbours(self, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase) -> Iterator[Row]:
        for document, group in groupby(rows, lambda row: row.get("document")):
            sentences = list(group)
            if document is None:
                yield from sentences
                continue
            texts = [pieces_of(_words_or_none(sentence), tokenizer) for sentence in sentences]
            pieces = [word for text in texts for word in text]
            end = 0
            for sentence, text in zip(sentences, texts, strict=True):
                start, end = end, end + len(text)
                before, after = pieces[max(0, start - self.max_tokens) : start], pieces[end : end + self.max_tokens]
                yield {**sentence, "before": before, "after": after}

    def encode(self, row: Row, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
        words = words_of(row)
        pieces = checked_pieces(words, tokenizer)
        gold, targets = row.get("tags"), self._targets(row)
        context = row.get("before", []), row.get("after", [])
        examples = []
        for number, window in enumerate(windows(pieces, *context, self.max_tokens, tokenizer)):
            mine = slice(window.start, window.end)
            examples.append(
                {
                    "id": row.get("id"),
                    "window": number,
                    "words": words[mine],
                    "gold": None if gold is None else gold[mine],
                    "input_ids": window.input_ids,
                    "first": window.first,
                    "targets": targets[mine],
                    "length": len(window.input_ids),
                    "split": row.get("split"),
                }
            )
        return examples

    def _targets(self, row: Row) -> list[int]:
        """The tags' numbers. ValueError where they do not belong to the words, or must be known and are not."""
        words, tags, split = words_of(row), row.get("tags"), row.get("split")
        if tags is None:
            if split in ("train", "dev"):
                raise ValueError("it has no tags")
            return [UNKNOWN] * len(words)
        if len(tags) != len(words):
            raise ValueError(f"{len(words)} words, but {len(tags)} tags")
        return tag_numbers(self._written(tags), self.tags, split)

    def _written(self, tags: Sequence[str]) -> list[str]:
        """Tags of a row as the model writes them."""
        return tags_of(spans_of(tags), len(tags), "BIOES") if self.scheme == "BIOES" and self.spans else list(tags)

    def collate(self, examples: Sequence[Row], vocabulary: Vocabulary) -> Batch:
        batch = collate_ids(examples, vocabulary)
        batch.labels = collate_words(examples)
        batch.counts["loss"] = terms(batch.labels, self.crf)
        return batch

    # ------------------------------------------------------------------------------------------- objective

    def head(self, config: PreTrainedConfig) -> nn.Module:
        return TagHead(config, len(self.tags), self.crf)

    def loss(self, head: nn.Module, encoded: Encoded, batch: Batch, totals: Mapping[str, float]) -> dict[str, Tensor]:
        assert isinstance(head, TagHead)
        return {"loss": head.loss(encoded, batch.labels) / totals["loss"]}

    # ------------------------------------------------------------------------------------------- answers

    def predict(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """Id, words and tags of each window; ``join`` makes the answer of them."""
        tags = self._decode(head, encoded, batch)
        return [{"id": e["id"], "words": e["words"], "tags": t} for e, t in zip(batch.examples, tags, strict=True)]

    def evaluate(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        tags = self._decode(head, encoded, batch)
        return [{"gold": e["gold"], "predicted": t} for e, t in zip(batch.examples, tags, strict=True)]

    def _decode(self, head: nn.Module, encoded: Encoded, batch: Batch) -> list[list[str]]:
        assert isinstance(head, TagHead)
        return [[self.tags[tag] for tag in tags] for tags in head.decode(encoded, batch.labels)]

    def join(self, windows: Sequence[Row]) -> dict[str, Any]:
        """Of answers: the words with their tags as valid BIO, and the spans by number of words, ``end`` exclusive."""
        if "words" not in windows[0]:
            gold = None if windows[0]["gold"] is None else _chain(windows, "gold")
            return {"gold": gold, "predicted": self._readable(_chain(windows, "predicted"))}
        words, tags = _chain(windows, "words"), self._readable(_chain(windows, "tags"))
        spans = spans_of(tags) if self.spans else []
        return {
            "id": windows[0]["id"],
            "tagged": [{"word": word, "tag": tag} for word, tag in zip(words, tags, strict=True)],
            "spans": [{**span._asdict(), "text": " ".join(words[span.start : span.end])} for span in spans],
        }

    def _readable(self, tags: Sequence[str]) -> list[str]:
        return repair(tags) if self.spans else list(tags)

    def metrics(self, rows: Iterable[Row]) -> dict[str, float]:
        """Precision, recall and F1 of spans as conlleval counts them, and the share of words with the right tag."""
        pairs = [(row["gold"], row["predicted"]) for row in rows if row["gold"] is not None]
        gold, predicted = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        figures = span_scores(gold, predicted) if self.spans else {}
        return {**figures, "accuracy": word_accuracy(gold, predicted)} if pairs else {}


def _words_or_none(row: Row) -> list[str]:
    """The words that a row's neighbours see of it; what is wrong with it is said when its own turn comes."""
    try:
        return words_of(row)
    except (KeyError, ValueError):
        return []


def _chain(windows: Sequence[Row], name: str) -> list[str]:
    return [value for window in windows for value in window[name]]
