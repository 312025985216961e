"""Natural Questions: whole Wikipedia pages, a line of JSON each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from models.nq_pages import PAGE, page, unread_page
from pipeline import Artifact, Executor, Rejected, Stage, UserError
from pipeline.store import listing_digest
from stages.text.long_files import LineStream
from stages.text.source_files import find_files
from stages.text.values import mended, refuse_halves, table_of

SUFFIXES = (".jsonl", ".jsonl.gz")
UNREAD: Mapping[str, Any] = {"candidates": [], "annotations": None}
"""What is left of a page that no table can hold."""


@dataclass(frozen=True, kw_only=True)
class ReadNaturalQuestions(Stage):
    """Read Natural Questions' files, in the original or the simplified format, compressed or not.

    Out  id str, question str, title str, candidates list (the page's top-level candidates that have words: index,
         start, end, kind, words, tokens), annotations list | null (candidate, start, end, short, yes_no), split str,
         source str (file:line). Spans are of the page's tokens, the end exclusive. models/nq_pages.py says more.

    Files are read as streams. A line that is no page, or a page without candidates, becomes an error row. Where it has
    an id and is for dev or test, it is a row without candidates too: the official scorer wants an answer to every page.
    """

    version: ClassVar[str] = "4"
    paths: ClassVar[frozenset[str]] = frozenset({"dev", "test", "train"})
    writes: ClassVar[pa.Schema] = pa.schema([*PAGE, ("source", pa.string())])

    train: str | None = None
    """Pages to learn from: a file, a folder (its .jsonl and .jsonl.gz files) or a glob."""
    dev: str | None = None
    """Pages to choose thresholds by."""
    test: str | None = None
    """Pages to judge by."""
    part_mib: int = 16
    """MiB of a file, as it is on disk, that become a part: what a worker holds in memory, unpacked."""

    def __post_init__(self) -> None:
        if not (self.train or self.dev or self.test):
            raise UserError("give at least one of train, dev and test")
        if self.part_mib < 1:
            raise UserError("part_mib must be at least 1")

    def fingerprint(self) -> str:
        return listing_digest(path for _, path in self._files())

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        size = self.part_mib << 20
        parts = [
            [pa.table({"path": [str(path)], "split": [split], "start": [start], "end": [start + size]})]
            for split, path in self._files()
            for start in range(0, path.stat().st_size, size)
        ]
        executor.map(PageReader, parts, out, schema=self.writes)

    def _files(self) -> list[tuple[str, Path]]:
        named = {"train": self.train, "dev": self.dev, "test": self.test}
        return [
            (split, path)
            for split, pattern in named.items()
            if pattern
            for path in find_files(pattern, SUFFIXES, recursive=False)
        ]


class PageReader:
    """Stretches of files in, their pages out."""

    def __init__(self) -> None:
        self._stream = LineStream()

    def __call__(self, stretches: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        rows: list[dict[str, Any]] = []
        rejected = []
        for stretch in stretches.to_pylist():
            path = Path(stretch["path"])
            for line in self._stream.lines(path, stretch["start"], stretch["end"]):
                place = f"{path.name}:{line.number}"
                if line.damage:
                    rejected.append(Rejected(f"{place} and what follows", line.damage))
                elif line.text.strip():
                    entry = None
                    try:
                        entry = json.loads(line.text)
                        refuse_halves(entry, line.text)
                        rows.append({**page(entry, stretch["split"]), "source": place})
                    except (ValueError, OverflowError, RecursionError) as error:
                        rejected.append(Rejected(place, str(error)))
                        rows += unread_rows(entry, stretch["split"], place)
        table, unfit = table_of(rows, [row["source"] for row in rows], ReadNaturalQuestions.writes)
        if unfit:
            places = {bad.item for bad in unfit}
            rows = [row for row in rows if row["source"] not in places or row["split"] != "train"]
            rows = [{**row, **UNREAD} if row["source"] in places else row for row in rows]
            table = pa.Table.from_pylist(rows, ReadNaturalQuestions.writes)
        return table, rejected + unfit


def unread_rows(entry: Any, split: str, place: str) -> list[dict[str, Any]]:
    """The row, without candidates, of a line that is no page but for dev or test, and has an id."""
    if split == "train":
        return []
    entry = mended(entry)
    try:
        unread = unread_page(entry, split)
    except OverflowError:
        unread = unread_page({**entry, "annotations": ()}, split)
    return [{**unread, "source": place}] if unread else []
