"""Features as one matrix on disk, for work that passes over them many times."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from models.threads import Run
from pipeline import UserError
from pipeline.store import part_rows, part_schema, read_part

ROWS = 4096
"""Rows decoded at a time."""


@dataclass(frozen=True)
class ClipRows:
    """Rows of features: all of ``parts``, or those of some videos."""

    parts: Sequence[Path]
    kept: Sequence[np.ndarray] | None
    """For each part whether a row counts, bool [rows]; None where all do."""
    counts: Sequence[int]
    """Rows that count, by part."""

    @classmethod
    def of(cls, parts: Sequence[Path], videos: pa.Array | None = None) -> ClipRows:
        """``videos``: only their rows. UserError where there are none."""
        kept = None
        if videos is not None:
            ids = (read_part(part, ["video_id"])["video_id"] for part in parts)
            kept = [pc.is_in(i, value_set=videos).to_numpy() for i in ids]
        rows = cls(parts, kept, [part_rows(p) for p in parts] if kept is None else [int(k.sum()) for k in kept])
        if not sum(rows.counts):
            of_what = "" if videos is None else " of training videos"
            raise UserError(f"there are no features{of_what} to make a codebook of: see the errors of the features")
        return rows

    def __len__(self) -> int:
        return sum(self.counts)

    def locate(self, index: int) -> tuple[int, int]:
        """Part and row of one of these rows, counted from 0 through all parts."""
        ends = np.cumsum(self.counts)
        part = int(np.searchsorted(ends, index, "right"))
        row = index - int(ends[part] - self.counts[part])
        return part, row if self.kept is None else int(np.flatnonzero(self.kept[part])[row])


@contextmanager
def mapped_vectors(
    rows: ClipRows,
    folder: Path,
    run: Run = map,
    advance: Callable[[int], None] = lambda n: None,
    scaled: Callable[[np.ndarray], np.ndarray] = lambda vectors: vectors,
) -> Iterator[torch.Tensor]:
    """The column ``feature`` of ``rows``, ``scaled``, as a memory-mapped float16 tensor [n, width], in order.

    Decoding Parquet takes longer than a pass of k-means. The copy lies in a nameless file in ``folder`` that goes with
    the block, or with the process, however that ends. UserError where parts differ in width or a value is not finite.
    """
    widths = {_width(part): part for part in rows.parts}
    if len(widths) > 1:
        (width, part), (other, other_part) = list(widths.items())[:2]
        raise UserError(f"features of different widths: {width} in {part}, {other} in {other_part}")
    shape = (len(rows), next(iter(widths)))
    starts = np.cumsum([0, *rows.counts[:-1]]).tolist()
    with tempfile.TemporaryFile(dir=folder) as file:

        def write(i: int) -> None:
            kept = None if rows.kept is None else rows.kept[i]
            at = starts[i] * shape[1] * 2
            for vectors in _finite_vectors(rows.parts[i], kept):
                os.pwrite(file.fileno(), scaled(vectors).data, at)
                at += vectors.nbytes
                advance(len(vectors))

        for _ in run(write, range(len(rows.parts))):
            pass
        # Copy on write, though nobody writes: torch has no read-only tensors.
        yield torch.from_numpy(np.memmap(file, np.float16, mode="c", shape=shape))


def as_matrix(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Fixed-size lists of float16 as [n, width], without a copy, and whether each is there and finite, bool [n]."""
    lists = column.fill_null([float("nan")] * column.type.list_size) if column.null_count else column
    vectors = lists.flatten().to_numpy(zero_copy_only=True).reshape(len(column), column.type.list_size)
    exponents = vectors.view(np.uint16) & 0x7C00
    return vectors, (exponents != 0x7C00).all(1)


def _finite_vectors(part: Path, kept: np.ndarray | None) -> Iterator[np.ndarray]:
    """The vectors of the rows that count. UserError for one that is missing, NaN or infinite."""
    row = 0
    for batch in _batches(part):
        vectors, finite = as_matrix(batch.column(0))
        here = slice(row, row + len(vectors))
        wrong = np.flatnonzero(~finite if kept is None else ~finite & kept[here])
        if len(wrong):
            raise UserError(
                f"{part}, row {row + wrong[0]}: the feature is missing or not finite: make the features again, or "
                "leave that video out"
            )
        yield vectors if kept is None else vectors[kept[here]]
        row += len(vectors)


def _batches(part: Path) -> Iterator[pa.RecordBatch]:
    if part.suffix == ".arrow":
        yield from read_part(part, ["feature"]).to_batches(ROWS)
    else:
        yield from pq.ParquetFile(part).iter_batches(ROWS, columns=["feature"], use_threads=False)


def _width(part: Path) -> int:
    type_ = part_schema(part).field("feature").type
    if not (pa.types.is_fixed_size_list(type_) and pa.types.is_float16(type_.value_type)):
        raise UserError(f"{part}: feature is {type_}, not a fixed-size list of float16")
    return int(type_.list_size)
