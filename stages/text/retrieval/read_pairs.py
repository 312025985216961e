"""Queries with texts that answer them and texts that do not: MS MARCO's triples, or labelled pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from pipeline import Artifact, Executor, Stage, UserError
from pipeline.store import listing_digest
from stages.text import tables
from stages.text.retrieval.schemas import PAIRS

TRIPLES = tables.Form(quotes=False, columns=("query", "positive", "negative"), separator="\t")
NEEDED = ("query", "text", "label")


@dataclass(frozen=True, kw_only=True)
class ReadPairs(Stage):
    """Read training pairs of queries and texts: MS MARCO's triples, or labelled pairs.

    Triples are a .tsv without header: query, relevant text, other text. Labelled pairs are a .tsv or .csv with a
    header, .jsonl or .parquet, with the columns query, text, label and perhaps query_id.

    Out  id str (file:line, of a triple with + or -), query_id str|null, query str, text str, label int32, split str

    A triple is two pairs. Files are read in blocks and may be larger than memory. A line with a column missing, an
    empty text or a label that is neither 0 nor 1 becomes an error row.
    """

    version: ClassVar[str] = "3"
    paths: ClassVar[frozenset[str]] = frozenset({"dev", "train"})
    writes: ClassVar[pa.Schema] = PAIRS

    train: str
    """File to train on, or a glob."""
    dev: str | None = None
    """File or glob to watch training with: MRR and AP are over its queries where it has query_id."""
    lines: int | None = None
    """Stop after so many lines of a file, rounded up to a block of 1 MB; None reads all."""

    def __post_init__(self) -> None:
        if self.lines is not None and self.lines < 1:
            raise UserError("lines must be at least 1")

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        files = [(path, split, form_of(path)) for path, split in self._files()]
        make = partial(tables.RowReader, {str(path): form for path, _, form in files}, pairs, PAIRS)
        executor.map(make, tables.as_parts(self._blocks(files)), out, schema=PAIRS)

    def fingerprint(self) -> str:
        files = [path for path, _ in self._files()]
        for path in files:
            form_of(path)
        return listing_digest(files)

    def _files(self) -> Iterator[tuple[Path, str]]:
        for split, pattern in (("train", self.train), ("dev", self.dev)):
            for path in tables.find_files(pattern) if pattern else ():
                yield path, split

    def _blocks(self, files: list[tuple[Path, str, tables.Form]]) -> Iterator[tables.Block]:
        for path, split, form in files:
            yield from takewhile(lambda b: self.lines is None or b.line <= self.lines, tables.cut(path, split, form))


def form_of(path: Path) -> tables.Form:
    """How a file of pairs is written. UserError where it is none."""
    form = tables.Form(quotes=path.suffix == ".csv")
    columns = tables.columns_of(path, form)
    if set(NEEDED) <= set(columns):
        return form
    if path.suffix == ".tsv" and tables.commonest(line.count("\t") + 1 for line in tables.first_lines(path)) == 3:
        return TRIPLES
    raise UserError(
        f"{path}: give triples (.tsv without a header: query, relevant text, other text) or a table with the columns "
        f"{', '.join(NEEDED)} (it has {', '.join(columns)})"
    )


def pairs(line: tables.Line, split: str) -> list[dict[str, Any]]:
    """The pairs of a line, two of a triple. ValueError says what is wrong with it."""
    found = of_triple(line) if tuple(line.cells) == TRIPLES.columns else [labelled(line)]
    return [{**pair, "split": split} for pair in found]


def of_triple(row: tables.Line) -> list[dict[str, Any]]:
    """The two pairs of a triple. ValueError for an empty text."""
    _refuse_empty(row.cells, TRIPLES.columns or ())
    shared = {"query_id": None, "query": row.cells["query"]}
    return [
        {**shared, "id": f"{row.at}{sign}", "text": row.cells[name], "label": label}
        for sign, name, label in (("+", "positive", 1), ("-", "negative", 0))
    ]


def labelled(row: tables.Line) -> dict[str, Any]:
    """The row of a labelled pair. ValueError says what is wrong with it."""
    cells = row.cells
    missing = [name for name in NEEDED if cells.get(name) is None]
    if missing:
        raise ValueError(f"has no {missing[0]}")
    _refuse_empty(cells, NEEDED[:2])
    label = str(cells["label"]).strip()
    if label not in ("0", "1"):
        raise ValueError(f"the label is '{label}': give 1 for a relevant text, 0 for another")
    query_id = cells.get("query_id")
    names = {"id": row.at, "query_id": None if query_id is None else str(query_id)}
    return {**names, "query": str(cells["query"]), "text": str(cells["text"]), "label": int(label)}


def _refuse_empty(cells: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if not str(cells[name]).strip():
            raise ValueError(f"the {name} is empty")
