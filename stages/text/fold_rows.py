"""Cross-validation: every row is tested once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from pipeline import Artifact, Executor, Stage, UserError


@dataclass(frozen=True, kw_only=True)
class FoldRows(Stage):
    """Cut rows into folds of like size: one to test, one to watch training with, the others to train on.

    In   rows: the column ``by``, split str, and any others
    Out  the same rows, their ``split`` by their fold, whatever it was
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"rows": ("split",)}
    writes_like: ClassVar[str | None] = "rows"

    folds: int = 5
    """How many folds."""
    test: int = 0
    """The fold to test on, from 0; the one after it is the dev split."""
    dev: bool = True
    """Whether there is a dev split; without one its fold is trained on."""
    by: str = "id"
    """Column whose values are dealt out; rows that share one stay together."""
    seed: int = 0
    """Seeds which value goes to which fold."""

    def __post_init__(self) -> None:
        if self.folds < 2 + self.dev or not 0 <= self.test < self.folds:
            raise UserError(f"folds must be at least {2 + self.dev}, and test from 0 to folds - 1")

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any]:
        rows = inputs["rows"]
        if rows.schema is None or self.by not in rows.schema.names:
            raise UserError(f"{rows.path} has no column '{self.by}' to fold by")
        values = sorted(set(rows.read([self.by])[self.by].to_pylist()))
        if len(values) < self.folds:
            raise UserError(f"{rows.path} has {len(values)} values of '{self.by}', too few for {self.folds} folds")
        order = np.random.default_rng(self.seed).permutation(len(values))
        fold_of = {values[index]: place % self.folds for place, index in enumerate(order.tolist())}
        executor.map(partial(Folder, self, fold_of), [[p] for p in rows.parts], out, schema=rows.schema)
        return {"folds": np.bincount(list(fold_of.values())).tolist()}


class Folder:
    """Rows in, rows with another split out."""

    def __init__(self, stage: FoldRows, fold_of: Mapping[Any, int]) -> None:
        self.fold_of, self.by = fold_of, stage.by
        self.splits = ["train"] * stage.folds
        if stage.dev:
            self.splits[(stage.test + 1) % stage.folds] = "dev"
        self.splits[stage.test] = "test"

    def __call__(self, rows: pa.Table) -> pa.Table:
        splits = [self.splits[self.fold_of[value]] for value in rows[self.by].to_pylist()]
        return rows.set_column(rows.column_names.index("split"), "split", pa.array(splits, pa.string()))
