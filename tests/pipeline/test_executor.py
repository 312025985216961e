"""What holds on every executor: in this process, in worker processes, on Ray."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import Artifact, Executor, LocalExecutor, Rejected, StageFailed, UserError
from pipeline.graph import make
from pipeline.store import MANIFEST, read_part
from tests.cases import CASES, Case
from tests.pipeline.toys import misbehave

SCHEMA = pa.schema([("name", pa.string()), ("n", pa.int64())])
ON_RAY = pytest.param("ray", marks=pytest.mark.ray)


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with LocalExecutor(workers=2) as executor:
        yield executor


@pytest.fixture(scope="module")
def ray(ray_cluster: None) -> Iterator[Executor]:
    from pipeline import RayExecutor

    with RayExecutor(workers=2) as executor:
        yield executor


@pytest.fixture(params=["in this process", "processes", ON_RAY])
def executor(request: pytest.FixtureRequest) -> Any:
    return LocalExecutor() if request.param == "in this process" else request.getfixturevalue(request.param)


@pytest.fixture(params=["processes", ON_RAY])
def apart(request: pytest.FixtureRequest) -> Any:
    """Executors whose workers may die."""
    return request.getfixturevalue(request.param)


class Misbehave:
    """Passes rows on; at some names does what a broken video does to a decoder."""

    def __init__(self, how: str, *names: str) -> None:
        self.how, self.names = how, names

    def __call__(self, rows: pa.Table) -> pa.Table:
        for name in rows["name"].to_pylist():
            if name in self.names:
                misbehave(self.how, name)
        return rows


class DieOnce:
    """Ends the process at a name, unless it did before."""

    def __init__(self, name: str, marker: Path) -> None:
        self.name, self.marker = name, marker

    def __call__(self, rows: pa.Table) -> pa.Table:
        if self.name in rows["name"].to_pylist() and not self.marker.exists():
            self.marker.touch()
            os._exit(3)
        return rows


class RejectOdd:
    def __call__(self, rows: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        odd = [n % 2 == 1 for n in rows["n"].to_pylist()]
        rejected = [Rejected(f"row {n}", "odd") for n in rows["n"].to_pylist() if n % 2]
        return rows.filter(pa.array([not o for o in odd])), rejected


class CountBoth:
    def __call__(self, left: pa.Table, right: pa.Table) -> pa.Table:
        names = pa.concat_tables([left, right])["name"]
        return pa.table({"name": names[:1], "n": [100 * left.num_rows + right.num_rows]})


class LoseColumn:
    def __call__(self, rows: pa.Table) -> pa.Table:
        return rows.select(["name"])


def fail_to_load(error: Exception) -> Any:
    raise error


def part(names: str) -> list[pa.Table]:
    """A row a letter."""
    return [pa.table({"name": list(names), "n": list(range(len(names)))}, SCHEMA)]


def names(out: Path) -> list[str]:
    """What was written, a string a part."""
    return ["".join(read_part(p)["name"].to_pylist()) for p in Artifact(out, "").parts]


def rejected(out: Path) -> dict[str, str]:
    rows = [r for p in sorted((out / "errors").glob("*")) for r in read_part(p).to_pylist()]
    return {r["item"]: r["reason"] for r in rows}


@pytest.mark.parametrize("where", ["processes", ON_RAY])
@pytest.mark.parametrize("case", [c for c in CASES if not c.trains], ids=lambda case: case.name)
def test_every_stage_writes_the_same_bytes(
    case: Case, where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    stage, inputs = case.build(tmp_path / "inputs")
    written: list[dict[str, bytes]] = []
    for name, executor in (("here", LocalExecutor()), (where, request.getfixturevalue(where))):
        out = tmp_path / name
        make(stage, inputs, Artifact(out, "key"), executor)
        written.append(
            {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != MANIFEST}
        )
    assert written[0].keys() == written[1].keys()
    assert [n for n in written[0] if written[0][n] != written[1][n]] == []


def test_part_i_comes_from_part_i_in_order(executor: Executor, tmp_path: Path) -> None:
    report = executor.map(
        partial(Misbehave, ""), [part("cab"), part(""), part("d")], tmp_path, schema=SCHEMA, by="name"
    )
    assert names(tmp_path) == ["cab", "", "d"]
    assert (report.rows, report.items, report.errors, report.parts, report.skipped) == (4, 4, 0, 3, 0)


def test_rows_of_an_item_come_together_from_all_inputs(executor: Executor, tmp_path: Path) -> None:
    inputs = [*part("abab"), *part("bcb")]
    executor.map(CountBoth, [inputs], tmp_path, schema=SCHEMA, by="name")
    counts = {row["name"]: row["n"] for row in read_part(tmp_path / "part-00000.parquet").to_pylist()}
    assert counts == {"a": 200, "b": 202, "c": 1}


def test_parts_that_are_there_are_not_made_again(executor: Executor, tmp_path: Path) -> None:
    executor.map(partial(Misbehave, ""), [part("a")], tmp_path, schema=SCHEMA, by="name")
    before = (tmp_path / "part-00000.parquet").stat()
    report = executor.map(partial(Misbehave, ""), [part("a"), part("b")], tmp_path, schema=SCHEMA, by="name")
    assert (report.skipped, report.rows) == (1, 2)
    assert (tmp_path / "part-00000.parquet").stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("by", ["name", None])
def test_an_exception_costs_one_item(executor: Executor, tmp_path: Path, by: str | None) -> None:
    report = executor.map(partial(Misbehave, "raise", "b"), [part("abc"), part("de")], tmp_path, schema=SCHEMA, by=by)
    assert names(tmp_path) == ["ac", "de"]
    assert rejected(tmp_path) == {"b": "b is no good"}
    assert (report.items, report.errors) == (5, 1)


def test_single_rows_can_be_rejected(executor: Executor, tmp_path: Path) -> None:
    executor.map(RejectOdd, [part("abcd")], tmp_path, schema=SCHEMA)
    assert names(tmp_path) == ["ac"]
    assert rejected(tmp_path) == {"row 1": "odd", "row 3": "odd"}


def test_a_wrong_table_is_an_error_with_a_reason(executor: Executor, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="a: TypeError: the mapper's table lacks n"):
        executor.map(LoseColumn, [part("a")], tmp_path, schema=SCHEMA, by="name")


def test_too_many_errors_fail_the_stage(executor: Executor, tmp_path: Path) -> None:
    parts = [part("abc"), part("de")]
    with pytest.raises(StageFailed) as failure:
        executor.map(partial(Misbehave, "raise", *"abc"), parts, tmp_path, schema=SCHEMA, by="name")
    message = str(failure.value)
    assert "3 of 5 items failed, more than max_error_rate = 0.5 allows" in message
    assert "a: a is no good; b: b is no good; c: c is no good" in message
    # Mended, the parts with errors are made again and the others are not.
    report = executor.map(partial(Misbehave, ""), parts, tmp_path, schema=SCHEMA, by="name")
    assert report.skipped == 1
    assert names(tmp_path) == ["abc", "de"]
    assert rejected(tmp_path) == {}


@pytest.mark.parametrize(("how", "by"), [("exit", "name"), ("kill", "name"), ("kill", None)])
def test_an_item_that_kills_its_worker_is_found(apart: Executor, tmp_path: Path, how: str, by: str | None) -> None:
    parts = [part("ab"), part("cdef"), part("gh")]
    report = apart.map(partial(Misbehave, how, "d", "f"), parts, tmp_path, schema=SCHEMA, by=by)
    assert names(tmp_path) == ["ab", "ce", "gh"]
    assert rejected(tmp_path).keys() == {"d", "f"}
    assert all(r.startswith("the worker died while processing it") for r in rejected(tmp_path).values())
    assert (report.items, report.errors) == (8, 2)


def test_a_worker_that_dies_once_costs_nothing(apart: Executor, tmp_path: Path) -> None:
    make = partial(DieOnce, "b", tmp_path / "died")
    report = apart.map(make, [part("abc")], tmp_path, schema=SCHEMA, by="name")
    assert (tmp_path / "died").exists()
    assert (report.rows, report.errors) == (3, 0)


def test_a_worker_that_always_dies_fails_the_stage(apart: Executor, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=r"workers keep dying while .*part-00000.parquet is written"):
        apart.map(partial(os._exit, 3), [part("abc")], tmp_path, schema=SCHEMA, by="name")


@pytest.mark.parametrize(
    ("error", "raised"),
    [(UserError("weights.pt: no such file"), UserError), (KeyError("weights"), RuntimeError)],
    ids=["the user's", "ours"],
)
def test_a_mapper_that_cannot_be_made_fails_the_stage(
    apart: Executor, tmp_path: Path, error: Exception, raised: type[Exception]
) -> None:
    with pytest.raises(raised, match="weights") as failure:
        apart.map(partial(fail_to_load, error), [part("a"), part("b")], tmp_path, schema=SCHEMA, by="name")
    if raised is RuntimeError:
        assert "in fail_to_load" in "".join(failure.value.__notes__), "the worker's traceback"
    apart.map(partial(Misbehave, ""), [part("a"), part("b")], tmp_path, schema=SCHEMA, by="name")
    assert names(tmp_path) == ["a", "b"], "the executor goes on with new workers"


def test_several_inputs_taken_whole_fail_as_one(executor: Executor, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"part-00000.parquet: .*\(several inputs need `by`\)"):
        executor.map(LoseColumn, [[*part("ab"), *part("ab")]], tmp_path, schema=SCHEMA)


def test_what_a_worker_is_made_from_may_be_large(executor: Executor, tmp_path: Path) -> None:
    make: Callable[[], Any] = partial(Misbehave, "raise", "x" * 10_000_000)
    executor.map(make, [part(c) for c in "abcdef"], tmp_path, schema=SCHEMA, by="name")
    assert names(tmp_path) == list("abcdef")
