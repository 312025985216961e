"""A part of the training rows, to see what a method is worth where there are few."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from pipeline import Artifact, Executor, Stage, UserError


@dataclass(frozen=True, kw_only=True)
class SampleRows(Stage):
    """Keep a share of every label's training rows, one at least, and all rows of the other splits.

    In   rows: id str, label str, split str, and any others
    Out  the same columns, fewer rows
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"rows": ("id", "label", "split")}
    writes_like: ClassVar[str | None] = "rows"

    share: float = 0.1
    """Share of the training rows to keep."""
    seed: int = 0
    """Seeds which."""

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UserError(f"share must be above 0 and at most 1, not {self.share:g}")

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        rows = inputs["rows"]
        ids: dict[str, list[str]] = {}
        for row in rows.read(["id", "label", "split"]).to_pylist():
            if row["split"] == "train":
                ids.setdefault(row["label"], []).append(row["id"])
        rng = np.random.default_rng(self.seed)
        kept: set[str] = set()
        for label in sorted(ids):
            n = max(1, round(self.share * len(ids[label])))
            kept.update(ids[label][i] for i in rng.permutation(len(ids[label]))[:n])
        executor.map(partial(Sampler, frozenset(kept)), [[p] for p in rows.parts], out, schema=rows.schema)


class Sampler:
    """Rows in, those to keep out."""

    def __init__(self, kept: frozenset[str]) -> None:
        self.kept = kept

    def __call__(self, rows: pa.Table) -> pa.Table:
        names = zip(rows["id"].to_pylist(), rows["split"].to_pylist(), strict=True)
        return rows.filter(pa.array([split != "train" or id_ in self.kept for id_, split in names], pa.bool_()))
