"""Texts of single documents, out of collections that are larger than memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.store import read_part
from stages.text.retrieval.schemas import contents

PASSAGE = "passage"


class _Index(NamedTuple):
    """Where the rows of each document are, N rows of all parts one after another."""

    hashes_N: np.ndarray
    """Of the documents' ids, ascending."""
    rows_N: np.ndarray
    """The row with each of them, ascending where they are equal."""
    starts: list[int]
    """The first row of each part, and the number of all."""


class Texts:
    """The parts of a table with doc_id and text, and perhaps title or passage, memory-mapped where they are Arrow.

    Their ids are read once; after that only rows that are asked for, of parts that have them. The index takes 16 bytes
    a row.
    """

    def __init__(self, parts: Sequence[Path]) -> None:
        self.parts = parts

    def of(self, doc_ids: Iterable[str]) -> dict[str, list[tuple[int, str]]]:
        """Number and text of every passage of these documents; a document that is not there is not in the answer.

        A document that several parts have counts once. One without passages is passage 0, its title first.
        """
        wanted = set(doc_ids)
        index = self._index
        hashes = np.fromiter(map(hash, wanted), np.int64, len(wanted))
        low, high = (np.searchsorted(index.hashes_N, hashes, side) for side in ("left", "right"))
        rows = np.sort(np.concatenate([index.rows_N[:0], *map(index.rows_N.__getitem__, map(slice, low, high))]))
        cuts = np.searchsorted(rows, index.starts)
        found: dict[str, list[tuple[int, str]]] = {}
        for number, part in enumerate(self.parts):
            mine = rows[cuts[number] : cuts[number + 1]] - index.starts[number]
            if not len(mine):
                continue
            table = read_part(part).take(mine)
            ids = table["doc_id"].to_pylist()
            numbers = table[PASSAGE].to_pylist() if PASSAGE in table.column_names else [0] * len(ids)
            texts = contents(table) if "title" in table.column_names else table["text"].to_pylist()
            here: dict[str, list[tuple[int, str]]] = {}
            for doc_id, passage, text in zip(ids, numbers, texts, strict=True):
                if doc_id in wanted:  # and not another one of the same hash
                    here.setdefault(doc_id, []).append((passage, text))
            found = here | found
        return found

    @cached_property
    def _index(self) -> _Index:
        hashes = [np.empty(0, np.int64)]
        for part in self.parts:
            ids = read_part(part)["doc_id"].to_pylist()
            hashes.append(np.fromiter(map(hash, ids), np.int64, len(ids)))
        starts = np.cumsum([0, *map(len, hashes[1:])]).tolist()
        hashes_N = np.concatenate(hashes)
        order = np.argsort(hashes_N, kind="stable")
        return _Index(hashes_N[order], order, starts)
