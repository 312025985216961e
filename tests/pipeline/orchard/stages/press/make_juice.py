"""A map stage with an abstract field."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa

from pipeline import Artifact, Executor, Stage
from stages.press.recipe import Plain, Recipe


@dataclass(frozen=True, kw_only=True)
class MakeJuice(Stage):
    """Press fruits. A rotten one is rejected.

    In   fruits: fruit str, weight_g float64
    Out  fruit str, juice_ml float64
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"fruits": ("fruit", "weight_g"), "bottles": ()}
    optional: ClassVar[frozenset[str]] = frozenset({"bottles"})
    writes: ClassVar[pa.Schema] = pa.schema([("fruit", pa.string()), ("juice_ml", pa.float64())])

    recipe: Recipe = Plain()  # noqa: RUF009 (it is frozen)
    """How much comes out."""
    press: Literal["hand", "steam"] = "hand"
    """What it is done with."""
    yield_rate: float = 0.5
    """Millilitres of juice a gram."""
    seconds_each: float = 0.0
    """Time one fruit takes, in seconds."""

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        parts = [[p] for p in inputs["fruits"].parts]
        executor.map(partial(Press, self), parts, out, schema=self.writes, by="fruit")


class Press:
    """Makes the juice of one kind of fruit."""

    def __init__(self, stage: MakeJuice) -> None:
        self.stage = stage

    def __call__(self, fruits: pa.Table) -> pa.Table:
        time.sleep(self.stage.seconds_each)
        fruit = fruits["fruit"][0].as_py()
        if fruit.startswith("rotten"):
            raise ValueError(f"{fruit} cannot be pressed")
        juice = [self.stage.recipe.millilitres(w) * self.stage.yield_rate for w in fruits["weight_g"].to_pylist()]
        return pa.table({"fruit": fruits["fruit"], "juice_ml": juice})
