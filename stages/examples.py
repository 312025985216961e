"""Encoded examples on disk, read through memory maps: a process's memory does not grow with them."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.tasks.task import GROUP, is_filled
from pipeline.store import read_part, write_atomically

POSITIONS = "positions"
"""The suffix of files that hold positions of examples."""
Chosen = Callable[[pa.Table], np.ndarray]
"""Which rows of a table of examples: bool, one for each."""


@dataclass(frozen=True)
class Sources:
    """Some of a split's examples, cut where another document or video begins."""

    positions: np.ndarray
    """int64, ascending."""
    starts: np.ndarray
    """Where among ``positions`` each document begins: int64."""

    def other(self, index: int, rng: np.random.Generator) -> int | None:
        """One of ``positions`` in another document than ``index``, which is one of them; None where all are in its."""
        number = int(self.starts.searchsorted(self.positions.searchsorted(index), side="right")) - 1
        first = int(self.starts[number])
        end = int(self.starts[number + 1]) if number + 1 < len(self.starts) else len(self.positions)
        n_others = len(self.positions) - (end - first)
        if not n_others:
            return None
        drawn = int(rng.integers(n_others))
        return int(self.positions[drawn if drawn < first else drawn + end - first])


class MappedExamples:
    """Examples by position over the tables of one artifact; lists of numbers come as views into the mapped file.

    Lists of positions are written once to ``scratch``, by whichever process comes first, and mapped by all; without it
    they are in memory.
    """

    def __init__(self, tables: Iterable[pa.Table], scratch: Path | None = None) -> None:
        self._tables = [t for t in tables if t.num_rows]
        self._scratch = scratch
        self._columns = [{n: _reader(t[n]) for n in t.column_names} for t in self._tables]
        self._lengths = [_array(t["length"]).to_numpy() for t in self._tables if "length" in t.column_names]
        self._starts = np.cumsum([0, *(t.num_rows for t in self._tables)]).tolist()
        self._sources: dict[tuple[str | None, ...], Sources] = {}

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

    def positions_of(self, split: str, group: str | None = None, chosen: Chosen | None = None) -> np.ndarray:
        """Positions of a split's examples, or of those in a group, that are ``chosen``: int64, in order.

        Asked for the same split and group, ``chosen`` must be the same.
        """

        def rows(table: pa.Table) -> np.ndarray:
            mine = rows_of(table, split, group)
            return mine if chosen is None else mine[chosen(table)[mine]]

        return self._kept(f"{split}-{group}", (rows(t) + start for start, t in self._parts()))

    def other(self, index: int, name: str, rng: np.random.Generator, filled: tuple[str, ...] = ()) -> int | None:
        """See ``Examples``."""
        part = bisect.bisect_right(self._starts, index) - 1
        row, columns = index - self._starts[part], self._columns[part]
        split = columns["split"](row)
        group = columns[GROUP](row) if GROUP in columns else None
        key = (split, group, name, *filled)
        if key not in self._sources:
            self._sources[key] = self._cut(split, group, name, filled)
        return self._sources[key].other(index, rng)

    def _cut(self, split: str, group: str | None, name: str, filled: tuple[str, ...]) -> Sources:
        def rows(table: pa.Table) -> np.ndarray:
            mine = rows_of(table, split, group)
            for column in filled:
                mine = mine[is_filled(table[column])[mine]]
            return mine

        def starts() -> Iterator[np.ndarray]:
            n, before = 0, None
            for _, table in self._parts():
                names = _array(table[name]).take(pa.array(rows(table)))
                if len(names):
                    codes = names.dictionary_encode(null_encoding="encode").indices.to_numpy()
                    begins = np.append(n == 0 or names[0].as_py() != before, np.diff(codes) != 0)
                    yield np.flatnonzero(begins) + n
                    n, before = n + len(names), names[-1].as_py()

        label = "-".join([split, str(group), name, *filled])
        return Sources(
            self._kept(label, (rows(t) + start for start, t in self._parts())), self._kept(f"{label}-starts", starts())
        )

    def _parts(self) -> Iterator[tuple[int, pa.Table]]:
        """The position of each table's first example, and the table."""
        return zip(self._starts, self._tables, strict=False)

    def _kept(self, label: str, pieces: Iterable[np.ndarray]) -> np.ndarray:
        """The numbers of all pieces as one array, mapped where there is a scratch folder. int64."""
        if self._scratch is None:
            return np.concatenate([np.zeros(0, np.int64), *pieces]).astype(np.int64)
        path = self._scratch / f"{label.replace('/', '_')}.{POSITIONS}"
        if not path.is_file():
            with write_atomically(path) as temporary, temporary.open("wb") as file:
                for piece in pieces:
                    piece.astype(np.int64).tofile(file)
        return np.asarray(np.memmap(path, np.int64, "r")) if path.stat().st_size else np.zeros(0, np.int64)


def rows_of(table: pa.Table, split: str, group: str | None = None) -> np.ndarray:
    """Which rows of a table of examples are of a split, and of a group where one is named."""
    mask = pc.equal(table["split"], split)
    if group is not None:
        mask = pc.and_(mask, pc.equal(table[GROUP], group))
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
