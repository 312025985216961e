"""What holds on every executor: in this process, in worker processes, on Ray."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import Artifact, Executor, LocalExecutor, Rejected, StageFailed, UserError, progress
from pipeline.store import read_part
from tests.pipeline.toys import misbehave
from tests.runs import files

SCHEMA = pa.schema([("name", pa.string()), ("n", pa.int64())])
ON_RAY = pytest.param("ray", marks=pytest.mark.ray)


@pytest.fixture(params=["in this process", "processes", ON_RAY])
def executor(request: pytest.FixtureRequest) -> Any:
    return LocalExecutor() if request.param == "in this process" else request.getfixturevalue(request.param)


@pytest.fixture(params=["processes", ON_RAY])
def apart(request: pytest.FixtureRequest) -> Any:
    """Executors whose workers may die."""
    return request.getfixturevalue(request.param)


class Misbehave:
    """Passes rows on; at some names does what a broken video does to a decoder."""

    def __init__(self, way: str, *names: str) -> None:
        self.way, self.names = way, names

    def __call__(self, rows: pa.Table) -> pa.Table | tuple[pa.Table, list[Rejected]]:
        for name in rows["name"].to_pylist():
            if name in self.names:
                if self.way == "reject":
                    return rows.slice(1), [Rejected(name, "not wanted")]
                misbehave(self.way, name)
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


class Log:
    """Passes rows on and writes down their names."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def __call__(self, rows: pa.Table) -> pa.Table:
        with self.log.open("a") as log:
            log.writelines(rows["name"].to_pylist())
        return rows


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


def test_part_i_comes_from_part_i_in_order(executor: Executor, tmp_path: Path) -> None:
    report = executor.map(
        partial(Misbehave, ""), [part("cab"), part(""), part("d")], tmp_path, schema=SCHEMA, by="name"
    )
    assert names(tmp_path) == ["cab", "", "d"]
    assert (report.rows, report.items, report.errors, report.parts, report.skipped) == (4, 4, 0, 3, 0)


def test_progress_counts_the_rows_done(
    executor: Executor, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    keep = partial(Misbehave, "")
    executor.map(keep, [part("ab")], tmp_path, schema=SCHEMA, by="name")
    executor.map(keep, [part("ab"), part("cdd")], tmp_path, schema=SCHEMA, by="name")
    lines = [line.partition(",")[0] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "map: 1/2 rows (50%)",
        "map: 2/2 rows (100%)",
        "map: 3/5 rows (60%)",
        "map: 5/5 rows (100%)",
    ]


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
    parts = [part("de"), part("abc")]
    with pytest.raises(StageFailed) as failure:
        executor.map(partial(Misbehave, "raise", *"abc"), parts, tmp_path, schema=SCHEMA, by="name")
    message = str(failure.value)
    assert re.match(r"3 of (at most )?5 items failed, more than max_error_rate = 0.5 allows", message)
    assert "a: a is no good; b: b is no good; c: c is no good" in message


def test_what_was_finished_before_too_many_errors_is_kept(tmp_path: Path) -> None:
    """Mended, the items with errors are made again and no others; the parts are those of a run without errors."""
    log, parts = tmp_path / "log", [part("ab"), part("cdefg"), part("h")]
    for suffix in (".parquet", ".arrow"):
        out, settings = tmp_path / suffix, {"schema": SCHEMA, "by": "name", "suffix": suffix}
        for how, left in (("raise", ["ab", "ceg"]), ("reject", ["ab", "ceg", "h"])):
            with pytest.raises(StageFailed):
                LocalExecutor(max_error_rate=0.1).map(partial(Misbehave, how, *"df"), parts, out, **settings)
            assert names(out) == left
        log.unlink(missing_ok=True)
        report = LocalExecutor(max_error_rate=0.1).map(partial(Log, log), parts, out, **settings)
        assert (log.read_text(), report.skipped) == ("df", 2)
        assert (report.rows, report.items, report.errors) == (8, 8, 0)
        LocalExecutor().map(partial(Misbehave, ""), parts, tmp_path / f"clean{suffix}", **settings)
        assert files(out) == files(tmp_path / f"clean{suffix}")


def test_a_higher_limit_takes_what_is_there(tmp_path: Path) -> None:
    log, parts = tmp_path / "log", [part("abc"), part("de"), part("f")]
    bad = partial(Misbehave, "raise", *"abcd")
    with pytest.raises(StageFailed, match="4 of at most 6 items failed"):
        LocalExecutor().map(bad, parts, tmp_path / "out", schema=SCHEMA, by="name")
    report = LocalExecutor(max_error_rate=0.7).map(partial(Log, log), parts, tmp_path / "out", schema=SCHEMA, by="name")
    assert (log.read_text(), report.items, report.errors, report.skipped) == ("f", 6, 4, 2)


def test_a_stage_fails_as_soon_as_it_must(executor: Executor, tmp_path: Path) -> None:
    """Not later, and not while what is to come may make up for it."""
    parts = [part(c) for c in "abcdefghijkl"]
    with pytest.raises(StageFailed, match=r"7 of at most 12 items failed.*running again tries these again"):
        executor.map(partial(Misbehave, "raise", *"abcdefghij"), parts, tmp_path, schema=SCHEMA, by="name")
    assert not (tmp_path / "part-00010.parquet").exists()


@pytest.mark.parametrize("by", ["name", None])
def test_too_many_rejected_rows_fail_the_stage(executor: Executor, tmp_path: Path, by: str | None) -> None:
    parts = [part("ab"), part("cd")]
    with pytest.raises(StageFailed, match="2 of 4 rows were rejected"):
        type(executor)(max_error_rate=0.4).map(RejectOdd, parts, tmp_path, schema=SCHEMA, by=by)  # type: ignore[call-arg]
    executor.map(RejectOdd, parts, tmp_path, schema=SCHEMA, by=by)
    assert names(tmp_path) == ["a", "c"]


class Together:
    """Takes parts whole."""

    def __init__(self, way: str = "", marker: Path = Path()) -> None:
        self.way, self.marker = way, marker

    def __call__(self, *inputs: pa.Table) -> pa.Table:
        if self.way and len(list(self.marker.glob("*"))) < 2:
            (self.marker / f"{len(list(self.marker.glob('*')))}").touch()
            misbehave(self.way, "it")
        return pa.concat_tables(inputs)


def test_a_whole_part_is_one_item(executor: Executor, tmp_path: Path) -> None:
    inputs = [*part("a"), *part("bc")]
    report = executor.map(Together, [inputs], tmp_path / "good", schema=SCHEMA, whole=True)
    assert (names(tmp_path / "good"), report.items) == (["abc"], 1)
    (tmp_path / "died").mkdir()
    with pytest.raises(StageFailed, match=r"1 of 1 items failed.* part-00000: it is no good"):
        executor.map(
            partial(Together, "raise", tmp_path / "died"), [inputs], tmp_path / "bad", schema=SCHEMA, whole=True
        )


def test_a_whole_part_stays_one_item_when_workers_die(apart: Executor, tmp_path: Path) -> None:
    (tmp_path / "died").mkdir()
    make = partial(Together, "exit", tmp_path / "died")
    apart.map(make, [[*part("a"), *part("bc")]], tmp_path / "out", schema=SCHEMA, whole=True)
    assert len(list((tmp_path / "died").glob("*"))) == 2
    assert names(tmp_path / "out") == ["abc"]


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


def test_several_inputs_must_say_what_an_item_is(executor: Executor, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="several inputs need `by` or `whole`"):
        executor.map(CountBoth, [[*part("ab"), *part("ab")]], tmp_path, schema=SCHEMA)
    executor.map(CountBoth, [[*part("ab"), *part("c")]], tmp_path, schema=SCHEMA)
    assert read_part(tmp_path / "part-00000.parquet")["n"].to_pylist() == [201]


def test_why_a_part_is_tried_row_by_row_is_said_once(
    executor: Executor, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    parts = [part("abcd"), part("efgh")]
    executor.map(partial(Misbehave, "raise", *"bf"), parts, tmp_path, schema=SCHEMA)
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "one by one" in line]
    assert re.fullmatch(r"map: part-0000[01].parquet: [bf] is no good; its rows are tried one by one", line)


def test_what_a_worker_is_made_from_may_be_large(executor: Executor, tmp_path: Path) -> None:
    make: Callable[[], Any] = partial(Misbehave, "raise", "x" * 10_000_000)
    executor.map(make, [part(c) for c in "abcdef"], tmp_path, schema=SCHEMA, by="name")
    assert names(tmp_path) == list("abcdef")
