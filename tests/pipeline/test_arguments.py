"""What is wrong with an argument is said in one line, before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.cli import main


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that the command line answers ``arguments`` with, less its beginning."""
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("videobert: error: ")
    assert printed.err.count("\n") == 1
    return printed.err.removeprefix("videobert: error: ").strip()


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("", "missing: --trees"),
        ("--tree x", "no option '--tree' (did you mean --trees?)"),
        ("--trees", "--trees: expected one argument"),
        ("--trees trees.txt more", "unexpected argument 'more'"),
        ("--trees trees.txt --yield_rate much", "--yield_rate: expected float, got 'much'"),
        ("--trees trees.txt --yield_rate=-1", "yield_rate must be 0 or more, not -1.0"),
        ("--trees trees.txt --workers two", "--workers: expected int or null, got 'two'"),
        ("--trees trees.txt --workers -1", "workers must be 0 or more, not -1"),
        ("--trees trees.txt --max-error-rate 2", "max_error_rate must be a share from 0 to 1, not 2.0"),
        ("--trees trees.txt --item-timeout-s 0", "item_timeout_s must be more than 0, not 0.0"),
        ("--trees trees.txt --store trees.txt", "trees.txt: no directory can be there, {here}/trees.txt is a file"),
        ("--trees trees.txt --store trees.txt/x", "trees.txt/x: no directory can be there, {here}/trees.txt is a file"),
        ("--trees trees.txt --executor rai", "--executor: expected one of 'local', 'ray', got 'rai'"),
        ("--trees trees.txt --recipe Dilute", "--recipe: no class 'Dilute' (did you mean Diluted?)"),
        (
            "--trees trees.txt --recipe Diluted --recipe.watr 1",
            "no option '--recipe.watr' (did you mean --recipe.water?)",
        ),
        ("--trees trees.txt --recipe Diluted --recipe.water x", "--recipe.water: expected float, got 'x'"),
        (
            "--trees trees.txt --recipe Diluted --recipe.water 1.5",
            "Diluted: water must be at least 0 and below 1, not 1.5",
        ),
        ("--trees trees.txt --only juise", "no node 'juise' (did you mean juice?)"),
        ("--trees nowhere.txt", "node 'fruits': nowhere.txt: no such file or directory"),
        ("--config nowhere.yaml", "--config: {here}/nowhere.yaml: no such file"),
    ],
)
def test_a_wrong_argument_of_a_workflow(
    orchard: Path, capsys: pytest.CaptureFixture[str], typed: str, answer: str
) -> None:
    assert error_of(capsys, "run", "orchard", *typed.split()) == answer.format(here=orchard)
    assert not (orchard / "store").exists()


@pytest.mark.parametrize(
    ("yaml", "answer"),
    [
        ("tree: x", "no option '--tree' (did you mean --trees?) (in args.yaml)"),
        ("trees: x\nyield_rate: much", "--yield_rate: expected float, got 'much' (in args.yaml)"),
        (
            "trees: x\nrecipe: {class_path: Diluted, init_args: {watr: 1}}",
            "no option '--recipe.watr' (did you mean --recipe.water?) (in args.yaml)",
        ),
    ],
)
def test_a_wrong_argument_in_a_file_names_the_file(
    orchard: Path, capsys: pytest.CaptureFixture[str], yaml: str, answer: str
) -> None:
    Path("args.yaml").write_text(yaml)
    assert error_of(capsys, "run", "orchard", "--config", "args.yaml") == answer


def test_a_file_that_is_not_yaml(orchard: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("args.yaml").write_text("trees: [")
    answer = error_of(capsys, "run", "orchard", "--config", "args.yaml")
    assert answer.startswith("--config: not a YAML file of options: while parsing a flow node")
    assert answer.endswith("(in args.yaml)")


def test_an_unknown_command_workflow_or_stage(orchard: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert error_of(capsys, "rnu") == "no command 'rnu' (did you mean run?)"
    assert error_of(capsys, "run", "orchid") == "no workflow 'orchid' (did you mean orchard?)"
    assert error_of(capsys, "stage", "make_juice") == "no stage 'make_juice' (did you mean MakeJuice?)"


def test_the_name_comes_before_the_options(orchard: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert error_of(capsys, "run", "--store", "s", "orchard").startswith("run: the name of a workflow comes first")


def help_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--help"])
    assert stop.value.code == 0
    return " ".join(capsys.readouterr().out.split())


def test_help_has_types_defaults_and_meanings_from_the_stage(orchard: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys, "stage", "MakeJuice")
    assert "In fruits: fruit str, weight_g float64 Out fruit str, juice_ml float64" in text
    assert "Time one fruit takes, in seconds. (type: float, default: 0.0)" in text
    assert "--press {hand,steam} What it is done with." in text
    assert "How much comes out. (type: Recipe, default: Plain(sugar_g=0.0), known subclasses: Plain, Diluted)" in text
    assert "The artifact for each input: fruits, bottles (optional)." in text


@pytest.mark.parametrize("stage", ["ScorePairs", "RankDocuments", "SamplePairs"])
def test_help_says_that_inputs_may_follow_from_the_fields(capsys: pytest.CaptureFixture[str], stage: str) -> None:
    assert ", and those that its fields ask for." in help_of(capsys, "stage", stage)


def test_help_has_types_defaults_and_meanings_from_the_workflow(
    orchard: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = help_of(capsys, "run", "orchard")
    assert "Command videobert run orchard --trees trees.txt" in text
    assert "--trees VALUE Path of a text file of fruits. (required, type: str)" in text
    assert "Millilitres of juice a gram. (type: float, default: 0.5)" in text


def test_help_without_a_name_lists_what_there_is(orchard: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "MakeJuice Press fruits." in help_of(capsys, "stage")
    assert "orchard Fruit to juice." in help_of(capsys, "plan")
