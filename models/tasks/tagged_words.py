"""Rows of words with tags, as tasks that tag words share them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from models.tag_head import UNKNOWN
from models.tasks.task import Row, pad


def words_of(row: Row) -> list[str]:
    """A row's words, or those of its text. ValueError where they are no text."""
    words = row.get("words")
    if words is None:
        words = row["text"]
        words = words.split() if isinstance(words, str) else words
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError("words must be a list of texts, or text be one")
    return words


def tag_numbers(tags: Sequence[str], known: Sequence[str], split: str | None) -> list[int]:
    """Tags as positions in ``known``; ValueError for one that is not there, in the test split UNKNOWN instead."""
    numbers = {tag: number for number, tag in enumerate(known)}
    if split in ("train", "dev") and (new := next((tag for tag in tags if tag not in numbers), None)):
        raise ValueError(f"the tag '{new}' is not among those of the training rows")
    return [numbers.get(tag, UNKNOWN) for tag in tags]


def collate_words(examples: Sequence[Row]) -> dict[str, Tensor]:
    """The labels that a TagHead reads, of examples with ``first``, where words begin, and ``targets``, their tags."""
    return {
        "first": pad([e["first"] for e in examples], 0),
        "tags": pad([e["targets"] for e in examples], UNKNOWN),
        "words": pad([np.ones(len(e["first"]), np.int64) for e in examples], 0).bool(),
    }


def terms(labels: Mapping[str, Tensor], crf: bool) -> float:
    """How many terms the loss sums: words whose tags are known, or with a field sequences."""
    return float(len(labels["tags"]) if crf else torch.count_nonzero(labels["tags"] != UNKNOWN))
