"""Encoded examples on disk, read through memory maps: a process's memory does not grow with them."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.store import read_part, write_atomically


class MappedExamples:
    """Examples by position over the tables of one artifact; lists of numbers come as views into the mapped file."""

    def __init__(self, tables: Iterable[pa.Table]) -> None:
        self._tables = [t for t in tables if t.num_rows]
        self._columns = [{n: _reader(t[n]) for n in t.column_names} for t in self._tables]
        self._starts = np.cumsum([0, *(t.num_rows for t in self._tables)]).tolist()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> dict[str, Any]:
        part = bisect.bisect_right(self._starts, index) - 1
        row = index - self._starts[part]
        return {name: read(row) for name, read in self._columns[part].items()}

    def lengths(self, indices: np.ndarray) -> np.ndarray:
        """The ``length`` column at ``indices``."""
        return np.array([self[int(i)]["length"] for i in indices])

    def positions_of(self, split: str, path: Path) -> np.ndarray:
        """Positions of a split's examples, in order: int64, written once to ``path`` and mapped."""
        if not path.is_file():
            with write_atomically(path) as temporary, temporary.open("wb") as file:
                for start, table in zip(self._starts, self._tables, strict=False):
                    mask = np.asarray(table["split"]) == split
                    (np.flatnonzero(mask) + start).astype(np.int64).tofile(file)
        return np.memmap(path, np.int64, "r") if path.stat().st_size else np.zeros(0, np.int64)


def open_examples(parts: Sequence[Path]) -> MappedExamples:
    return MappedExamples(map(read_part, parts))


def _reader(column: pa.ChunkedArray) -> Any:
    """row -> value, without copying lists of numbers."""
    array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if pa.types.is_list(array.type) and pa.types.is_primitive(array.type.value_type):
        offsets, values = array.offsets.to_numpy(), array.values.to_numpy()
        return lambda row: values[offsets[row] : offsets[row + 1]]
    if pa.types.is_primitive(array.type) and not array.null_count:
        values = array.to_numpy(zero_copy_only=not pa.types.is_boolean(array.type))
        return lambda row: values[row]
    return lambda row: array[row].as_py()
