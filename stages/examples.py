"""Encoded examples on disk, read through memory maps: a process's memory does not grow with them."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.store import read_part, write_atomically


class MappedExamples:
    """Examples by position over the tables of one artifact; lists of numbers come as views into the mapped file."""

    def __init__(self, tables: Iterable[pa.Table]) -> None:
        self._tables = [t for t in tables if t.num_rows]
        self._columns = [{n: _reader(t[n]) for n in t.column_names} for t in self._tables]
        self._lengths = [_array(t["length"]).to_numpy() for t in self._tables if "length" in t.column_names]
        self._starts = np.cumsum([0, *(t.num_rows for t in self._tables)]).tolist()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> dict[str, Any]:
        part = bisect.bisect_right(self._starts, index) - 1
        row = index - self._starts[part]
        return {name: read(row) for name, read in self._columns[part].items()}

    def lengths(self, indices: np.ndarray) -> np.ndarray:
        """The ``length`` column at ``indices``."""
        found = np.empty(len(indices), np.int64)
        parts = np.searchsorted(self._starts, indices, side="right") - 1
        for part in np.unique(parts):
            mine = parts == part
            found[mine] = self._lengths[part][indices[mine] - self._starts[part]]
        return found

    def column(self, name: str, indices: np.ndarray) -> np.ndarray:
        """One column's values at ``indices``."""
        parts = np.searchsorted(self._starts, indices, side="right") - 1
        return np.array([self._columns[p][name](i - self._starts[p]) for p, i in zip(parts, indices, strict=True)])

    def positions_of(self, split: str, path: Path, group: str | None = None) -> np.ndarray:
        """Positions of a split's examples, or of those in a group, in order: int64, written once to ``path`` and
        mapped."""
        if not path.is_file():
            with write_atomically(path) as temporary, temporary.open("wb") as file:
                for start, table in zip(self._starts, self._tables, strict=False):
                    (rows_of(table, split, group) + start).astype(np.int64).tofile(file)
        return np.memmap(path, np.int64, "r") if path.stat().st_size else np.zeros(0, np.int64)


def rows_of(table: pa.Table, split: str, group: str | None = None) -> np.ndarray:
    """Which rows of a table of examples are of a split, and of a group where one is named."""
    mask = pc.equal(table["split"], split)
    if group is not None:
        mask = pc.and_(mask, pc.equal(table["group"], group))
    return np.flatnonzero(mask.combine_chunks().fill_null(False).to_numpy(zero_copy_only=False))


def open_examples(parts: Sequence[Path]) -> MappedExamples:
    return MappedExamples(map(read_part, parts))


def _reader(column: pa.ChunkedArray) -> Any:
    """row -> value, without copying lists of numbers."""
    array = _array(column)
    if pa.types.is_list(array.type) and pa.types.is_primitive(array.type.value_type):
        offsets, values = array.offsets.to_numpy(), array.values.to_numpy()
        return lambda row: values[offsets[row] : offsets[row + 1]]
    if pa.types.is_primitive(array.type) and not array.null_count:
        values = array.to_numpy(zero_copy_only=not pa.types.is_boolean(array.type))
        return lambda row: values[row]
    return lambda row: array[row].as_py()


def _array(column: pa.ChunkedArray) -> pa.Array:
    """The column in one piece, not copied where it is."""
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
