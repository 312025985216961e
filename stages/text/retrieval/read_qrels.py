"""Judgements: which documents are relevant to which queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa

from pipeline import Artifact, Executor, Rejected, Stage, UserError
from pipeline.store import listing_digest
from stages.text import tables
from stages.text.retrieval import collection_files
from stages.text.retrieval.schemas import QRELS
from stages.text.values import table_of

COLUMNS = {4: ("query_id", "iteration", "doc_id", "grade"), 3: ("query_id", "doc_id", "grade")}
HEADERS = {"score", "relevance", "rel", "grade", "label"}
"""What a header calls the grade."""
LEAST = 5
"""Cleverdon's grade of documents of no interest; 1 is a complete answer."""


@dataclass(frozen=True, kw_only=True)
class ReadQrels(Stage):
    """Read judgements of which documents are relevant: TREC's, MS MARCO's, Cranfield's or BEIR's.

    Columns are query, iteration, document and grade, or query, document and grade.

    In   queries (optional): whose judgements count; leave them out where the file itself says which queries there are
    Out  query_id str, doc_id str, grade int32 (relevant from 1 on, the more so the higher)

    A row of an unknown query, of a pair judged before, with other columns or a grade that is no number becomes an
    error row.
    """

    version: ClassVar[str] = "3"
    paths: ClassVar[frozenset[str]] = frozenset({"qrels"})
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"queries": ("query_id",)}
    optional: ClassVar[frozenset[str]] = frozenset({"queries"})
    writes: ClassVar[pa.Schema] = QRELS

    qrels: str
    """A file, a folder or a glob; columns separated by white space, with or without a header."""
    scale: Literal["rising", "cleverdon", "binary"] = "rising"
    """What grades mean: rising, the higher the more relevant; cleverdon, as in Cranfield's file, 1 a complete answer to
    4 of minimum interest, which become 4 to 1; binary, 1 for every positive grade. Others count as 0."""

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        known = frozenset(inputs["queries"].read(["query_id"])["query_id"].to_pylist()) if "queries" in inputs else None
        forms = {path: form_of(path) for path in collection_files.find(self.qrels)}
        blocks = [b._asdict() for path, form in forms.items() for b in tables.cut(path, "", form)]
        make = partial(QrelsReader, self.scale, {str(path): form for path, form in forms.items()}, known)
        executor.map(make, [[pa.Table.from_pylist(blocks)]], out, schema=QRELS, whole=True)

    def fingerprint(self) -> str:
        files = collection_files.find(self.qrels)
        for path in files:
            form_of(path)
        return listing_digest(files)


def form_of(path: Path) -> tables.Form:
    """How a file of judgements is written, by its first lines. UserError where it is none."""
    columns = tables.commonest(COLUMNS.get(len(line.split())) for line in tables.first_lines(path))
    if columns:
        return tables.Form(quotes=False, columns=columns, separator=" ")
    raise UserError(
        f"{path}: its first lines are no judgements: give query, iteration, document and grade, or only query, "
        "document and grade"
    )


class QrelsReader:
    """Blocks of files in, judgements out. All blocks are one item: a pair judged twice may stand in two.

    ``forms`` tells how each file is written, by its path.
    """

    def __init__(self, scale: str, forms: Mapping[str, tables.Form], known: frozenset[str] | None) -> None:
        self.scale, self.forms, self.known = scale, forms, known

    def __call__(self, blocks: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        grades: dict[tuple[str, str], int] = {}
        places = []
        rejected = []
        for block in tables.blocks_of(blocks):
            for row in tables.rows(block, self.forms[block.path]):
                if isinstance(row, Rejected):
                    rejected.append(row)
                    continue
                try:
                    if row.cells["grade"].lower() not in HEADERS:
                        self._add(row.cells, grades)
                        places.append(row.at)
                except ValueError as error:
                    rejected.append(Rejected(row.at, str(error)))
        judged = [{"query_id": q, "doc_id": d, "grade": grade} for (q, d), grade in grades.items()]
        table, unfit = table_of(judged, places, QRELS)
        return table, rejected + unfit

    def _add(self, cells: Mapping[str, str], grades: dict[tuple[str, str], int]) -> None:
        pair = cells["query_id"], cells["doc_id"]
        if self.known is not None and pair[0] not in self.known:
            raise ValueError(f"query {pair[0]} is not among the queries (is their numbering by id or by position?)")
        if pair in grades:
            raise ValueError(f"document {pair[1]} is judged for query {pair[0]} a second time")
        try:
            grade = int(cells["grade"])
        except ValueError:
            raise ValueError(f"the grade is '{cells['grade']}', not a whole number") from None
        if self.scale == "cleverdon":
            grade = LEAST - grade if grade > 0 else 0
        grades[pair] = min(max(grade, 0), 1) if self.scale == "binary" else max(grade, 0)
