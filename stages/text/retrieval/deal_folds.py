"""The folds that the queries of a test collection belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from pipeline import Artifact, Executor, Stage, UserError
from pipeline.store import write_part
from stages.text.retrieval.schemas import FOLDS


@dataclass(frozen=True, kw_only=True)
class DealFolds(Stage):
    """Deal queries into folds of like size; one whose file names its fold is in that.

    In   queries: query_id str, fold int32|null
    Out  query_id str, fold int32
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"queries": ("query_id", "fold")}
    writes: ClassVar[pa.Schema] = FOLDS

    folds: int = 5
    """How many folds; those that a file names are below this."""
    seed: int = 0
    """Seeds which query goes to which fold."""

    def __post_init__(self) -> None:
        if self.folds < 1:
            raise UserError("folds must be at least 1")

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        query_ids, named = inputs["queries"].read(["query_id", "fold"]).to_pydict().values()
        dealt = np.random.default_rng(self.seed).permutation(len(query_ids)) % self.folds
        folds = [int(d) if n is None else n for d, n in zip(dealt, named, strict=True)]
        most = max(folds, default=0)
        if most >= self.folds:
            raise UserError(f"the queries name the fold {most}: give folds {most + 1} or more (it is {self.folds})")
        write_part(out / "part-00000.parquet", pa.table([query_ids, folds], schema=FOLDS))
