"""One stage alone: its inputs are found and checked, and nothing that lies at --out is ever overwritten."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pipeline import Artifact
from pipeline.cli import main
from pipeline.single import CLAIM
from pipeline.store import Store


@pytest.fixture
def fruits(orchard: Path) -> Path:
    assert main(["stage", "Pick", "--trees", "trees.txt", "--out", "fruits"]) == 0
    return orchard / "fruits"


def make_juice(*arguments: str, out: str = "juice") -> int:
    return main(["stage", "MakeJuice", "--inputs", "fruits=fruits", "--out", out, *arguments])


def test_it_makes_what_the_same_node_of_a_workflow_makes(fruits: Path, orchard: Path) -> None:
    assert make_juice() == 0
    assert main(["run", "orchard", "--trees", "trees.txt"]) == 0
    alone, in_workflow = Artifact.open("juice"), Artifact.open(next(orchard.glob("store/MakeJuice-*")))
    assert alone.key == in_workflow.key
    assert [p.read_bytes() for p in alone.parts] == [p.read_bytes() for p in in_workflow.parts]
    assert not (alone.path / CLAIM).exists()


def test_a_second_run_is_done_before(fruits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make_juice() == 0
    written = (Path("juice") / "manifest.json").stat().st_mtime_ns
    assert make_juice() == 0
    assert f"done before: {Path('juice').absolute()}" in capsys.readouterr().err
    assert (Path("juice") / "manifest.json").stat().st_mtime_ns == written


def test_an_interrupted_run_goes_on(fruits: Path) -> None:
    assert make_juice() == 0
    key = Artifact.open("juice").key
    part = Path("juice/part-00000.parquet")
    written = part.stat().st_mtime_ns
    Path("juice/manifest.json").unlink()
    Path("juice", CLAIM).write_text(key)
    assert make_juice() == 0
    assert part.stat().st_mtime_ns == written
    assert Artifact.open("juice").key == key


def test_a_second_run_at_the_same_time_waits(fruits: Path, capfd: pytest.CaptureFixture[str]) -> None:
    juice, said = Artifact(Path("juice").absolute(), ""), ""
    other = threading.Thread(target=make_juice)
    with Store(Path.cwd()).lock(juice):
        other.start()
        while "waiting for another run that makes it" not in said:
            assert other.is_alive()
            said += capfd.readouterr().err
        assert not Path("juice").exists()
    other.join()
    assert Artifact.open("juice").done


def test_fields_may_be_in_a_file(fruits: Path) -> None:
    Path("pick.yaml").write_text("trees: trees.txt\nat_most: 2\nsizes: [huge]\nout: few\n")
    assert main(["stage", "Pick", "--config", "pick.yaml", "--at_most", "3"]) == 0
    few = Artifact.open("few")
    assert few.rows() == 3
    assert few.manifest["fields"] == {"trees": "trees.txt", "at_most": 3, "sizes": ["huge"]}


def test_other_fields_never_go_on_from_unfinished_work(fruits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("juice").mkdir()
    Path("juice", CLAIM).write_text("the key of other fields")
    assert make_juice() == 2
    assert "holds the unfinished work of other fields or inputs" in capsys.readouterr().err


def test_another_artifact_is_not_overwritten(fruits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make_juice() == 0
    assert make_juice("--press", "steam") == 2
    assert "--out juice: holds another artifact (MakeJuice with other" in capsys.readouterr().err
    assert make_juice(out="fruits") == 2
    assert "--out fruits: holds another artifact (Pick with other" in capsys.readouterr().err


def test_other_files_are_not_overwritten(fruits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make_juice(out=".") == 2
    assert "--out .: is not empty and not an artifact" in capsys.readouterr().err
    assert make_juice(out="trees.txt") == 2
    assert "--out trees.txt: is a file" in capsys.readouterr().err
    assert make_juice(out="trees.txt/x/juice") == 2
    assert "trees.txt/x: no directory can be there" in capsys.readouterr().err


def test_a_run_that_was_killed_before_it_said_what_it_makes_goes_on(fruits: Path) -> None:
    Path("juice").mkdir()
    Path("juice/.key.123-abc.tmp").touch()
    assert make_juice() == 0
    assert sorted(p.name for p in Path("juice").iterdir()) == ["errors.parquet", "manifest.json", "part-00000.parquet"]


@pytest.mark.parametrize(
    ("inputs", "answer"),
    [
        ("", "MakeJuice needs the input 'fruits' (its inputs: fruits, bottles)"),
        ("fruits=fruits cups=fruits", "MakeJuice has no input 'cups' (its inputs: fruits, bottles)"),
        ("fruits", "--inputs fruits: expected NAME=DIR"),
        ("fruits=fruits fruits=other", "--inputs fruits=other: 'fruits' is given twice"),
        ("fruits=nowhere", "{here}/nowhere: no such directory"),
        ("fruits=stages", "{here}/stages: not a finished artifact (it has no manifest.json)"),
        ("fruits=juice", "MakeJuice reads weight_g from its input 'fruits', but juice has fruit, juice_ml"),
    ],
)
def test_wrong_inputs_are_refused_before_any_work(
    fruits: Path, orchard: Path, capsys: pytest.CaptureFixture[str], inputs: str, answer: str
) -> None:
    assert make_juice() == 0
    capsys.readouterr()
    given = ["--inputs", *inputs.split()] if inputs else []
    assert main(["stage", "MakeJuice", *given, "--out", "new"]) == 2
    assert capsys.readouterr().err == f"videobert: error: {answer.format(here=orchard)}\n"
    assert not Path("new").exists()
