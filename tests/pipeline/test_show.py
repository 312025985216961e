"""``show`` tells what an artifact holds, where it came from and how it begins."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from pipeline.cli import main


@pytest.fixture
def store(orchard: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A store in which the orchard has been run once."""
    assert main(["run", "orchard", "--trees", "trees.txt"]) == 0
    capsys.readouterr()
    return orchard / "store"


def shown(capsys: pytest.CaptureFixture[str], pattern: str) -> str:
    """What is printed of the one artifact that fits, its runs of spaces as one."""
    (path,) = Path().glob(pattern)
    assert main(["show", str(path)]) == 0
    return "\n".join(" ".join(line.split()) for line in capsys.readouterr().out.splitlines())


def test_it_says_what_the_artifact_holds(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "store/MakeJuice-*")
    assert text.startswith("MakeJuice store/MakeJuice-")
    assert "\nrows 4 in 1 part\n" in text
    assert "\nerrors 1\n" in text
    assert "\nerrors\nrotten-fig: rotten-fig cannot be pressed\n" in text
    assert "\nfields\nrecipe:\nclass: Plain\nsugar_g: 0\npress: hand\n" in text
    assert "\nfirst rows\nfruit juice_ml\napple 25\npear 20\nplum 20\nquince 30" in text


def test_long_lists_are_shortened_and_bytes_are_sizes(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "\napple 50 [0.5, 0.5, 0.5, … 64] <2.1 kB>\n" in shown(capsys, "store/Pick-*")


def test_what_the_stage_adds_to_its_manifest_is_shown(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "\nbasket\nmaterial: willow\nhandles: 2\n" in shown(capsys, "store/Pick-*")


def test_inputs_are_done_or_gone(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (fruits,) = store.glob("Pick-*")
    assert f"└── fruits: store/{fruits.name} done, 5 rows" in shown(capsys, "store/MakeJuice-*")
    shutil.rmtree(fruits)
    assert f"└── fruits: store/{fruits.name} gone" in shown(capsys, "store/MakeJuice-*")


def test_inputs_are_found_in_a_store_that_was_moved(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.rename("moved")
    assert "└── fruits: moved/Pick-" in shown(capsys, "moved/MakeJuice-*")


def test_the_table_fits_the_terminal(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    (path,) = store.glob("Pick-*")
    assert main(["show", str(path)]) == 0
    printed = re.sub("\x1b\\[[0-9;]*m", "", capsys.readouterr().out)  # bold and colours
    first_rows = printed.partition("first rows")[2].splitlines()
    assert max(map(len, first_rows)) <= 40
    assert any("…" in line for line in first_rows)


def test_what_is_no_artifact_is_said_in_one_line(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (juice,) = store.glob("MakeJuice-*")
    (juice / "manifest.json").unlink()
    for path, answer in [
        (juice, f"{juice}: unfinished, 1 part is there; what makes it goes on when run again"),
        ("store", "store: not an artifact, but holds 1: Pick-"),
        ("stages", "stages: not an artifact (no manifest.json in it)"),
        ("nowhere", "nowhere: no such directory"),
    ]:
        assert main(["show", str(path)]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"videobert: error: {answer}")
        assert error.count("\n") == 1
