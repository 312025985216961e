"""Small stages to run graphs of, and a program that runs one: ``python -m tests.pipeline.toys STORE [OPTIONS]``.

numbers -> squares -> sums
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import Artifact, Executor, Graph, LocalExecutor, Rejected, Resources, Stage, Store, run

NUMBERS = pa.schema([("group", pa.string()), ("x", pa.float64())])


@dataclass(frozen=True, kw_only=True)
class DrawNumbers(Stage):
    """Draw normal numbers.

    Out  group str, x float64
    """

    writes: ClassVar[pa.Schema] = NUMBERS
    groups: int = 12
    """Items."""
    rows: int = 50
    """Numbers of a group."""
    parts: int = 4
    """Parts the groups are dealt out to."""

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        names = [f"g{i:03d}" for i in range(self.groups)]
        parts = [[pa.table({"group": names[i :: self.parts]})] for i in range(self.parts)]
        executor.map(partial(Draw, self.rows), parts, out, schema=self.writes, by="group")


class Draw:
    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __call__(self, names: pa.Table) -> pa.Table:
        (group,) = names["group"].to_pylist()
        x = np.random.default_rng(int(group[1:])).normal(size=self.rows)
        return pa.table({"group": [group] * self.rows, "x": x})


@dataclass(frozen=True, kw_only=True)
class SquareNumbers(Stage):
    """Square numbers, or misbehave.

    In   numbers: group str, x float64
    Out  group str, x float64
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"numbers": ("group", "x")}
    writes: ClassVar[pa.Schema] = NUMBERS
    neutral: ClassVar[frozenset[str]] = frozenset({"seconds", "log"})
    at: tuple[str, ...] = ()
    """Groups to misbehave at."""
    how: Literal["raise", "exit", "kill", "hang", "reject a row"] = "raise"
    """How to misbehave."""
    whole: bool = False
    """Take parts whole, not group by group."""
    seconds: float = 0.0
    """Time a group takes."""
    log: str = ""
    """A file that gets a line a group: the process that squared it."""

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> dict[str, Any]:
        parts = [[p] for p in inputs["numbers"].parts]
        report = executor.map(partial(Square, self), parts, out, schema=self.writes, by=None if self.whole else "group")
        return {"skipped": report.skipped}


class Square:
    def __init__(self, stage: SquareNumbers) -> None:
        self.stage = stage

    def __call__(self, numbers: pa.Table) -> pa.Table | tuple[pa.Table, list[Rejected]]:
        groups = pc.unique(numbers["group"]).to_pylist()
        if self.stage.log:
            with Path(self.stage.log).open("a") as log:
                log.writelines(f"{os.getpid()} {group}\n" for group in groups)
        time.sleep(self.stage.seconds * len(groups))
        squares = numbers.set_column(1, "x", pc.multiply(numbers["x"], numbers["x"]))
        for group in groups:
            if group in self.stage.at:
                if self.stage.how == "reject a row":
                    return squares.slice(1), [Rejected(f"{group}:0", "the first row is not wanted")]
                misbehave(self.stage.how, group)
        return squares


def misbehave(how: str, group: str) -> None:
    if how == "exit":
        os._exit(3)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "hang":
        time.sleep(3600)
    raise ValueError(f"{group} is no good")


@dataclass(frozen=True, kw_only=True)
class SumGroups(Stage):
    """Add up the numbers of a group and those of its squares.

    In   numbers: group str, x float64
         squares: group str, x float64
    Out  group str, total float64, count list<int32>
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"numbers": ("group", "x"), "squares": ("group", "x")}
    writes: ClassVar[pa.Schema] = pa.schema(
        [("group", pa.string()), ("total", pa.float64()), ("count", pa.list_(pa.int32()))]
    )

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        parts = list(zip(inputs["numbers"].parts, inputs["squares"].parts, strict=True))
        executor.map(Add, parts, out, schema=self.writes, by="group", resources=Resources(gpus=1), suffix=".arrow")


class Add:
    def __call__(self, *tables: pa.Table) -> pa.Table:
        total = sum(t["x"].to_numpy().sum() for t in tables)
        return pa.table({"group": tables[0]["group"][:1], "total": [total], "count": [[t.num_rows for t in tables]]})


def graph(**squares: Any) -> Graph:
    """``squares``: fields of SquareNumbers."""
    graph = Graph()
    numbers = graph.add("numbers", DrawNumbers())
    squared = graph.add("squares", SquareNumbers(**squares), numbers=numbers)
    graph.add("sums", SumGroups(), numbers=numbers, squares=squared)
    return graph


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("--executor", choices=("local", "ray"), default="local")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--log", default="")
    given = parser.parse_args()
    if given.executor == "ray":
        from pipeline import RayExecutor

        executor: Any = RayExecutor(workers=given.workers)
    else:
        executor = LocalExecutor(workers=given.workers or 0)
    with executor:
        run(graph(seconds=given.seconds, log=given.log), Store(given.store), executor)


if __name__ == "__main__":
    main()
