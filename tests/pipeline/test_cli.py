"""The program as a user meets it: what it prints, what it leaves and with which exit status it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline import Artifact
from pipeline.cli import main

RUN = ("run", "orchard", "--trees", "trees.txt")
PLAN = ("plan", "orchard", "--trees", "trees.txt")


def juice_of(orchard: Path) -> list[float]:
    (path,) = orchard.glob("store/MakeJuice-*")
    millilitres: list[float] = Artifact.open(path).read()["juice_ml"].to_pylist()
    return millilitres


def program(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_help_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["--help"]) == 0
    assert "videobert run WORKFLOW [ARGS]" in capsys.readouterr().out


def test_list_has_a_line_for_each(orchard: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == [
        "workflows",
        "orchard Fruit to juice.",
        "text.labels What is written on the bottles.",
        "stages",
        "Pick Read fruits from a text file, one a line.",
        "MakeJuice Press fruits. A rotten one is rejected.",
    ]


def test_plan_says_what_is_done_and_where(orchard: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def states() -> list[list[str]]:
        assert main(PLAN) == 0
        return [line.split() for line in capsys.readouterr().out.splitlines()[1:]]

    (fruits, juice) = states()
    assert fruits[:4] == ["fruits", "Pick", "to", "do"]
    assert juice[:4] == ["juice", "MakeJuice", "to", "do"]
    assert not (orchard / "store").exists()
    assert main([*RUN, "--only", "fruits"]) == 0
    capsys.readouterr()
    Path(juice[4]).mkdir()
    assert states() == [["fruits", "Pick", "done", fruits[4]], ["juice", "MakeJuice", "to", "do,", "begun", juice[4]]]


def test_run_makes_everything_and_prints_the_report(orchard: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(RUN) == 0
    assert capsys.readouterr().out == "95.0 ml of juice\n"
    assert juice_of(orchard) == [25.0, 20.0, 20.0, 30.0]


def test_run_of_some_nodes_has_no_report(orchard: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, "--only", "fruits"]) == 0
    assert capsys.readouterr().out == ""
    assert [p.name.partition("-")[0] for p in orchard.glob("store/*-*")] == ["Pick"]


def test_arguments_reach_the_stages(orchard: Path) -> None:
    changes = ["--recipe", "Diluted", "--recipe.water", "0.75", "--set", "juice.yield_rate=1", "fruits.at_most=2"]
    assert main([*RUN, *changes]) == 0
    assert juice_of(orchard) == [200.0, 160.0]


def test_a_file_says_what_the_command_line_would(orchard: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = ["--recipe", "Diluted", "--recipe.water", "0.75", "--set", "juice.yield_rate=1"]
    with pytest.raises(SystemExit):
        main([*PLAN, *changes, "--print_config"])
    Path("args.yaml").write_text(capsys.readouterr().out)
    assert main([*PLAN, *changes]) == 0
    typed = capsys.readouterr().out
    assert main(["plan", "orchard", "--config", "args.yaml"]) == 0
    assert capsys.readouterr().out == typed


def test_a_single_word_in_a_file_is_a_list_of_one(orchard: Path) -> None:
    Path("args.yaml").write_text("trees: trees.txt\nset: juice.yield_rate=1\nonly: juice\n")
    assert main(["run", "orchard", "--config", "args.yaml"]) == 0
    assert juice_of(orchard) == [50.0, 40.0, 40.0, 60.0]
    assert main(["run", "orchard", "--config", "args.yaml", "--store", "other", "--set", "fruits.at_most=2"]) == 0
    assert Artifact.open(next(orchard.glob("other/MakeJuice-*"))).read()["juice_ml"].to_pylist() == [50.0, 40.0]
    Path("stage.yaml").write_text("inputs: fruits=" + str(next(orchard.glob("store/Pick-*"))))
    assert main(["stage", "MakeJuice", "--config", "stage.yaml", "--out", "alone"]) == 0


@pytest.mark.parametrize("value", ["3", "[juice.yield_rate=1, 3]", "{juice.yield_rate: 1}"])
def test_what_is_no_word_in_a_file_is_named(orchard: Path, capsys: pytest.CaptureFixture[str], value: str) -> None:
    Path("args.yaml").write_text(f"trees: trees.txt\nset: {value}\n")
    assert main(["run", "orchard", "--config", "args.yaml"]) == 2
    answer = capsys.readouterr().err
    assert "--set: expected NODE.FIELD=VALUE or a list of such, got " in answer
    assert answer.endswith("(in args.yaml)\n")


def test_worker_processes_find_the_stages(orchard: Path) -> None:
    assert main([*RUN, "--workers", "1"]) == 0
    assert juice_of(orchard) == [25.0, 20.0, 20.0, 30.0]


def test_predict_needs_a_model_and_rows(orchard: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, answer in [
        (("nowhere", "trees.txt"), "nowhere: no such directory"),
        (("stages", "nowhere.txt"), "nowhere.txt: no such file"),
        (("stages", "trees.txt", "--out", "new/answers"), f"--out new/answers: no such directory as {orchard}/new"),
    ]:
        assert main(["predict", *arguments]) == 2
        assert capsys.readouterr().err == f"videobert: error: {answer}\n"


def test_predict_hands_over_to_the_predict_stage(orchard: Path) -> None:
    (orchard / "stages").unlink()
    Path("stages").mkdir()
    Path("stages/__init__.py").touch()
    Path("stages/predict.py").write_text(
        "def predict_file(model_dir, source, out):\n    out.write_text(f'{model_dir} {source.read_text()}')\n"
    )
    Path("model").mkdir()
    Path("rows.txt").write_text("rows")
    assert main(["predict", "model", "rows.txt", "--out", "answers"]) == 0
    assert Path("answers").read_text() == "model rows"


def test_a_wrong_command_ends_with_2_and_one_line(orchard: Path) -> None:
    process = program("run", "orchard")
    assert process.communicate() == ("", "videobert: error: missing: --trees\n")
    assert process.returncode == 2


def test_a_failing_stage_ends_with_1_and_one_line(orchard: Path) -> None:
    process = program(*RUN, "--max-error-rate", "0.1")
    _, printed = process.communicate()
    assert process.returncode == 1
    assert "Traceback" not in printed
    last = printed.splitlines()[-1]
    assert last.startswith("videobert: failed: node 'juice': 1 of 5 items failed")
    assert "rotten-fig cannot be pressed" in last


def test_a_fault_in_a_stage_keeps_its_traceback(orchard: Path) -> None:
    (orchard / "workflows").unlink()
    Path("workflows").mkdir()
    Path("workflows/__init__.py").touch()
    Path("workflows/broken.py").write_text("def graph():\n    return 1 / 0\n")
    process = program("run", "broken")
    _, printed = process.communicate()
    assert process.returncode == 1
    assert printed.splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_an_interrupted_run_ends_with_130_and_can_go_on(orchard: Path) -> None:
    process = program(*RUN, "--set", "juice.seconds_each=60")
    while not list(orchard.glob("store/MakeJuice-*")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in printed
    assert printed.splitlines()[-1] == "videobert: interrupted; the same command continues where it stopped"
    assert len(list(orchard.glob("store/Pick-*/manifest.json"))) == 1


ENDLESS = """
import time
from pathlib import Path

def predict_file(*paths):
    Path("begun").touch()
    time.sleep(60)
"""


def test_interrupted_answers_begin_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, code in (("stages/__init__.py", ""), ("stages/predict.py", ENDLESS), ("rows.jsonl", "{}")):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(code)
    process = program("predict", ".", "rows.jsonl")
    while not Path("begun").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate()
    assert process.returncode == 130
    assert printed.splitlines()[-1] == "videobert: interrupted"
