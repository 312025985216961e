"""Texts of single documents, out of collections that are larger than memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.store import read_part
from stages.text.retrieval.schemas import contents

PASSAGE = "passage"


class Texts:
    """The parts of a table with doc_id and text, and perhaps title or passage, memory-mapped where they are Arrow."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self.parts = parts

    def of(self, doc_ids: Iterable[str]) -> dict[str, list[tuple[int, str]]]:
        """Number and text of every passage of these documents; a document that is not there is not in the answer.

        A document that several parts have counts once. One without passages is passage 0, its title first.
        """
        wanted = pa.array(sorted(set(doc_ids)), pa.string())
        found: dict[str, list[tuple[int, str]]] = {}
        for part in self.parts:
            table = read_part(part)
            rows = table.filter(pc.is_in(table["doc_id"], value_set=wanted))
            ids = rows["doc_id"].to_pylist()
            numbers = rows[PASSAGE].to_pylist() if PASSAGE in rows.column_names else [0] * len(ids)
            texts = contents(rows) if "title" in rows.column_names else rows["text"].to_pylist()
            here: dict[str, list[tuple[int, str]]] = {}
            for doc_id, number, text in zip(ids, numbers, texts, strict=True):
                here.setdefault(doc_id, []).append((number, text))
            found = here | found
        return found
