from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from rich.console import Console

from pipeline import Artifact, Executor, Graph, LocalExecutor, Stage, StageFailed, Store, UserError, plan, run
from pipeline import graph as graph_module
from pipeline.parts import ERRORS_OF_PART
from pipeline.store import ERRORS, MANIFEST, write_json, write_part
from tests.pipeline.toys import DrawNumbers, SquareNumbers, SumGroups, graph


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a run prints, on a screen wide enough for its paths."""
    screen = io.StringIO()
    monkeypatch.setattr(graph_module, "CONSOLE", Console(file=screen, width=200))
    return screen


class TestAdd:
    def test_inputs_exist_before_what_reads_them(self) -> None:
        with pytest.raises(UserError, match="node 'squares' reads 'numbers', which is not in the graph yet"):
            Graph().add("squares", SquareNumbers(), numbers="numbers")

    def test_names_are_taken_once(self) -> None:
        with pytest.raises(UserError, match="the graph has a node 'numbers' already"):
            graph().add("numbers", DrawNumbers())

    def test_inputs_are_the_stages(self) -> None:
        with pytest.raises(UserError, match=r"SumGroups needs the input 'squares' \(its inputs: numbers, squares\)"):
            graph().add("more", SumGroups(), numbers="numbers")
        with pytest.raises(UserError, match=r"DrawNumbers has no input 'numbers' \(its inputs: none\)"):
            graph().add("more", DrawNumbers(), numbers="numbers")

    def test_columns_fit(self) -> None:
        with pytest.raises(
            UserError, match="reads x from its input 'numbers', but node 'sums' has group, total, count"
        ):
            graph().add("more", SquareNumbers(), numbers="sums")

    def test_a_stage_may_write_the_columns_it_reads(self) -> None:
        g = graph()
        g.add("half", KeepHalf(), rows="numbers")
        g.add("quarter", KeepHalf(), rows="half")
        assert g.schema("quarter") == DrawNumbers.writes
        g.add("more", SquareNumbers(), numbers="quarter")
        g.add("few", KeepHalf(), rows="sums")
        with pytest.raises(UserError, match="reads x from its input 'numbers', but node 'few' has group, total, count"):
            g.add("none", SquareNumbers(), numbers="few")


@dataclass(frozen=True, kw_only=True)
class Choose(Stage):
    """Columns in, the same columns out: which, its field says."""

    column: str = "x"

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        return {"rows": (self.column,)}

    @property
    def writes(self) -> pa.Schema:  # type: ignore[override]
        return pa.schema([(self.column, pa.string())])

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None: ...


def test_fields_that_were_replaced_must_fit_the_neighbours(store: Store) -> None:
    g = graph()
    g.add("chosen", Choose(), rows="numbers")
    g.add("again", Choose(), rows="chosen")
    g.replace("chosen", column="group")
    with pytest.raises(
        UserError, match=r"node 'again': Choose reads x from its input 'rows', but node 'chosen' has gro"
    ):
        plan(g, store)
    g.replace("again", column="group")
    plan(g, store)
    g.replace("chosen", column="y")
    with pytest.raises(UserError, match="node 'chosen': Choose reads y from its input 'rows'"):
        run(g, store, LocalExecutor())
    assert not store.root.exists()


@dataclass(frozen=True, kw_only=True)
class KeepHalf(Stage):
    """Rows of any kind in, every other one out."""

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"rows": ()}
    writes_like: ClassVar[str | None] = "rows"

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        raise NotImplementedError


class TestReplace:
    def test_fields(self) -> None:
        changed = graph()
        changed.replace("numbers", rows=7)
        assert changed["numbers"].stage == DrawNumbers(rows=7)

    def test_wrong_names(self) -> None:
        with pytest.raises(UserError, match=r"no node 'number' \(did you mean numbers\?\)"):
            graph().replace("number", rows=7)
        with pytest.raises(UserError, match=r"no field of DrawNumbers 'row' \(did you mean rows\?\)"):
            graph().replace("numbers", row=7)


class TestPlan:
    def test_runs_nothing(self, store: Store) -> None:
        artifacts = plan(graph(), store)
        assert list(artifacts) == ["numbers", "squares", "sums"]
        assert artifacts["sums"].path.name == f"SumGroups-{artifacts['sums'].key}"
        assert not store.root.exists()

    def test_a_changed_field_moves_what_comes_after_it_and_nothing_before(self, store: Store) -> None:
        before, after = plan(graph(), store), plan(graph(whole=True), store)
        assert [before[n] == after[n] for n in before] == [True, False, False]

    def test_the_node_whose_file_is_missing_is_named(self, store: Store) -> None:
        broken = Graph()
        broken.add("files", ReadFile())
        with pytest.raises(UserError, match=r"node 'files': videos.csv: no such file"):
            plan(broken, store)


@dataclass(frozen=True, kw_only=True)
class ReadFile(Stage):
    """Reads a file that is not there."""

    def fingerprint(self) -> str:
        raise UserError("videos.csv: no such file")

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None: ...


@dataclass(frozen=True, kw_only=True)
class OutOfReach(Stage):
    """Needs what cannot be had."""

    def check(self) -> None:
        raise UserError("the hub does not have it")

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        raise AssertionError


class TestRun:
    def test_what_cannot_be_had_is_said_before_any_node_is_made(self, store: Store) -> None:
        g = graph()
        g.add("far", OutOfReach())
        with pytest.raises(UserError, match="node 'far': the hub does not have it"):
            run(g, store, LocalExecutor())
        assert not any(artifact.path.exists() for artifact in plan(g, store).values())
        assert list(run(g, store, LocalExecutor(), only=["sums"])) == ["numbers", "squares", "sums"]

    def test_again_makes_nothing(self, store: Store) -> None:
        run(graph(), store, LocalExecutor())
        before = {p: p.stat().st_mtime_ns for p in store.root.rglob("*") if p.is_file() and ".locks" not in p.parts}
        artifacts = run(graph(), store, LocalExecutor())
        assert all(p.stat().st_mtime_ns == t for p, t in before.items())
        assert artifacts["sums"].read().num_rows == 12

    def test_only_makes_nodes_and_what_they_need(self, store: Store) -> None:
        artifacts = run(graph(), store, LocalExecutor(), only=["squares"])
        assert list(artifacts) == ["numbers", "squares"]
        assert not plan(graph(), store)["sums"].done
        with pytest.raises(UserError, match=r"no node 'square' \(did you mean squares\?\)"):
            run(graph(), store, LocalExecutor(), only=["square"])

    def test_the_manifest_says_where_an_artifact_comes_from(self, store: Store) -> None:
        artifacts = run(graph(at=("g003",)), store, LocalExecutor())
        manifest = artifacts["squares"].manifest
        assert {n: manifest[n] for n in ("stage", "version", "key", "rows", "errors", "skipped")} == {
            "stage": "SquareNumbers",
            "version": "1",
            "key": artifacts["squares"].key,
            "rows": 11 * 50,
            "errors": 1,
            "skipped": 0,
        }
        assert manifest["fields"]["at"] == ["g003"]
        assert manifest["inputs"] == {
            "numbers": {"path": str(artifacts["numbers"].path), "key": artifacts["numbers"].key}
        }
        assert manifest["libraries"]["pyarrow"]
        assert manifest["seconds"] > 0
        files = [p for p in artifacts["squares"].path.iterdir() if p.name != MANIFEST]
        assert manifest["bytes"] == sum(p.stat().st_size for p in files)

    def test_rejected_items_are_in_one_table(self, store: Store) -> None:
        artifact = run(graph(at=("g003", "g005")), store, LocalExecutor())["squares"]
        errors = artifact.errors()
        assert errors is not None
        assert errors.to_pylist() == [
            {"item": "g005", "part": 1, "stage": "SquareNumbers", "reason": "g005 is no good"},
            {"item": "g003", "part": 3, "stage": "SquareNumbers", "reason": "g003 is no good"},
        ]
        assert not (artifact.path / "errors").exists()

    def test_a_failing_stage_is_named_and_what_was_made_is_kept(self, store: Store, printed: io.StringIO) -> None:
        bad = graph(at=tuple(f"g{i:03d}" for i in range(8)))
        with pytest.raises(StageFailed, match="node 'squares': 8 of 12 items failed"):
            run(bad, store, LocalExecutor())
        artifacts = plan(bad, store)
        assert [a.done for a in artifacts.values()] == [True, False, False]
        assert [line.split()[:2] for line in printed.getvalue().splitlines()[1:]] == [
            ["numbers", "600"],
            ["squares", "unfinished"],
        ]
        run(bad, store, LocalExecutor(max_error_rate=0.9))
        assert artifacts["squares"].manifest["errors"] == 8

    def test_it_ends_with_a_table(self, store: Store, printed: io.StringIO) -> None:
        run(graph(at=("g003",)), store, LocalExecutor(), only=["numbers"])
        run(graph(at=("g003",)), store, LocalExecutor())
        header, numbers, squares, sums = printed.getvalue().splitlines()[2:]
        assert header.split("  ")[0] == "node"
        assert header.split()[1:5] == ["rows", "errors", "seconds", "rows/s"]
        assert header.rstrip().endswith("of the whole")
        assert numbers.split() == ["numbers", "600", "done", "before"]
        assert squares.split()[:3] == ["squares", "550", "1"]
        seconds = [float(line.split()[i]) for line, i in ((squares, 3), (sums, 2))]
        assert all(s >= 0 for s in seconds)
        shares = [int(line.split()[-1].rstrip("%")) for line in (squares, sums)]
        assert sum(shares) in (99, 100, 101)

    def test_what_a_killed_run_left_half_written_is_removed(self, store: Store) -> None:
        left = plan(graph(), store)["numbers"].path / "deep/.part-00000.parquet.1-a.tmp"
        left.parent.mkdir(parents=True)
        left.touch()
        run(graph(), store, LocalExecutor(), only=["numbers"])
        assert not left.exists()

    def test_the_tables_figures(self, store: Store) -> None:
        artifacts = run(graph(), store, LocalExecutor(), only=["squares"])
        spent = {"numbers": graph_module._Spent(1.5, 150), "squares": graph_module._Spent(4.5, 0)}
        screen = io.StringIO()
        Console(file=screen, width=200).print(graph_module._closing_table(artifacts, spent))
        assert [line.split() for line in screen.getvalue().splitlines()[1:]] == [
            ["numbers", "600", "1.5", "300.0", "25%"],
            ["squares", "600", "4.5", "133.3", "75%"],
        ]

    def test_the_tables_rate_counts_what_this_run_made(self, store: Store, printed: io.StringIO) -> None:
        artifact = run(graph(), store, LocalExecutor(), only=["numbers"])["numbers"]
        (artifact.path / MANIFEST).unlink()
        run(graph(), store, LocalExecutor(), only=["numbers"])
        assert printed.getvalue().splitlines()[-1].split()[::3] == ["numbers", "0.0"]

    @pytest.mark.parametrize("left", ["errors.parquet", "errors.parquet and half of the folder"])
    def test_killed_before_the_manifest_it_keeps_its_errors(self, store: Store, left: str) -> None:
        """The parts' error files are joined, then deleted, then the manifest is written."""
        bad = graph(at=("g003", "g005"))
        artifact = run(bad, store, LocalExecutor())["squares"]
        before = (artifact.path / ERRORS).read_bytes()
        (artifact.path / MANIFEST).unlink()
        if left != ERRORS:
            half = pa.Table.from_pylist([{"item": "g005", "reason": "g005 is no good"}], ERRORS_OF_PART)
            write_part(artifact.path / "errors" / "part-00001.parquet", half)
        run(bad, store, LocalExecutor())
        again = json.loads((artifact.path / MANIFEST).read_text())
        assert again["errors"] == 2
        assert (artifact.path / ERRORS).read_bytes() == before
        assert not (artifact.path / "errors").exists()


def test_what_a_stage_returns_is_in_the_manifest(tmp_path: Path) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Weigh(Stage):
        """Writes a file that is not a table."""

        writes: ClassVar[Any] = None

        def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> dict[str, Any]:
            write_json(out / "weights.json", {"a": 1})
            return {"digest": "0123"}

    single = Graph()
    single.add("weights", Weigh())
    artifact = run(single, Store(tmp_path), LocalExecutor())["weights"]
    assert artifact.manifest["digest"] == "0123"
    assert artifact.manifest["rows"] == 0


def test_a_store_may_be_named_from_another_directory(tmp_path: Path) -> None:
    """Paths in manifests are absolute, so an artifact is found from anywhere."""
    program = "from pipeline import *; from tests.pipeline.toys import graph; run(graph(), Store('s'), LocalExecutor())"
    root = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env={"PYTHONPATH": root}, check=True)
    (manifest,) = (tmp_path / "s").glob("SumGroups-*/manifest.json")
    source = json.loads(manifest.read_text())["inputs"]["squares"]["path"]
    assert Artifact.open(source).path == tmp_path / "s" / Path(source).name
