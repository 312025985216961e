"""The files of a data set, one a split, as the parts that a reader maps over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import Rejected
from stages.text.values import table_of

SPLITS = ("train", "dev", "test")
ROWS = 1000
"""Rows of a part, from which on it ends with the item that they belong to."""

Item = list[dict[str, Any] | Rejected]
"""Rows that stay in one part, of a sentence or a document, and what is wrong with others of it."""
Read = Callable[[Path, str], Iterable[Item]]
"""A file and its split to the file's items, one after another."""


def as_parts(files: Mapping[str, str | Path | None], read: Read) -> list[list[pa.Table]]:
    """Split -> file to parts of about ``ROWS`` rows; None is a split without rows."""
    parts = []
    for split, path in files.items():
        if path is not None:
            ends = list(_ends(read(Path(path), split)))
            for first, end in zip([0, *ends], ends, strict=False):
                parts.append([pa.Table.from_pylist([{"path": str(path), "split": split, "first": first, "end": end}])])
    return parts


def _ends(items: Iterable[Item]) -> Iterator[int]:
    """How many items precede the end of each part."""
    number, rows = 0, 0
    for number, item in enumerate(items, 1):
        rows += len(item)
        if rows >= ROWS:
            yield number
            rows = 0
    if rows or not number:
        yield number


class PartReader:
    """Parts made by ``as_parts`` in, their rows out. Parts of a file that come in order are read in one go."""

    def __init__(self, read: Read, schema: pa.Schema) -> None:
        self.read, self.schema = read, schema
        self._file: tuple[str, str] | None = None
        self._items: Iterator[Item] = iter(())
        self._at = 0

    def __call__(self, part: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        (place,) = part.to_pylist()
        file, first, end = (place["path"], place["split"]), place["first"], place["end"]
        if self._file != file or self._at > first:
            self._items, self._at = iter(self.read(Path(file[0]), file[1])), 0
        self._file = None  # until it has been read as far as asked
        found = [row for item in islice(self._items, first - self._at, end - self._at) for row in item]
        self._file, self._at = file, end
        rows = [row for row in found if not isinstance(row, Rejected)]
        places = [row.get("id") or Path(file[0]).name for row in rows]
        table, unfit = table_of(rows, places, self.schema)
        return table, [row for row in found if isinstance(row, Rejected)] + unfit


def numbered_lines(path: Path) -> Iterator[tuple[int, str | None]]:
    """The lines of a file, from 1, read as they are asked for and without what ends them; None is not UTF-8."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError:
                yield number, None


def present(files: Iterable[str | Path | None]) -> list[str | Path]:
    """The files that are named."""
    return [file for file in files if file is not None]
