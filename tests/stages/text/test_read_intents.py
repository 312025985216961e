from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import UserError
from stages.text.read_intents import FILES, ReadIntents
from tests.stages.text.reading import read


def write(folder: Path, lines: list[tuple[str, str, str]]) -> None:
    folder.mkdir(parents=True)
    for name, column in zip(FILES, zip(*lines, strict=True), strict=True):
        (folder / name).write_text("".join(f"{line}\n" for line in column))


def test_three_files_are_one_table(tmp_path: Path) -> None:
    write(tmp_path / "train", [("play  jazz ", "O B-genre ", "PlayMusic")])
    write(tmp_path / "valid", [("stop", "O", "Stop")])
    write(tmp_path / "test", [("go to new york", "O O B-city I-city", "a#b")])
    rows, errors = read(ReadIntents(folder=str(tmp_path), dev="valid"), tmp_path)
    assert errors == []
    assert [(r["id"], r["split"], r["intent"]) for r in rows] == [
        ("train/seq.in:1", "train", "PlayMusic"),
        ("valid/seq.in:1", "dev", "Stop"),
        ("test/seq.in:1", "test", "a#b"),
    ]
    assert rows[0]["words"] == ["play", "jazz"]
    assert rows[2]["tags"] == ["O", "O", "B-city", "I-city"]


def test_bad_lines_are_errors_with_their_place(tmp_path: Path) -> None:
    lines = [
        ("play jazz", "O", "PlayMusic"),
        ("", "", "PlayMusic"),
        ("good", "O", "Good"),
        ("play", "O", ""),
        ("play", "O", "Play Music"),
        ("play", "X", "PlayMusic"),
        ("play", "B-", "PlayMusic"),
    ]
    write(tmp_path / "train", lines)
    with (tmp_path / "train" / "seq.in").open("ab") as file:
        file.write(b"one more\n\xff\n")
    rows, errors = read(ReadIntents(folder=str(tmp_path), dev=None, test=None), tmp_path)
    assert [r["words"] for r in rows] == [["good"]]
    assert errors == [
        ("train/seq.in:1", "2 words, but 1 tags in seq.out"),
        ("train/seq.in:2", "the text is empty"),
        ("train/seq.in:4", "the line of label is empty"),
        ("train/seq.in:5", "label is 'Play Music', not one word"),
        ("train/seq.in:6", "'X' in seq.out is no tag of BIO"),
        ("train/seq.in:7", "'B-' in seq.out is no tag of BIO"),
        ("train/seq.in:8", "seq.out has no such line; the three files need the same number of lines"),
        ("train/seq.in:9", "seq.out has no such line; the three files need the same number of lines"),
    ]


def test_missing_folders_and_files_are_said_before_any_work(tmp_path: Path) -> None:
    write(tmp_path / "train", [("play", "O", "PlayMusic")])
    write(tmp_path / "valid", [("play", "O", "PlayMusic")])
    with pytest.raises(UserError, match=r"dev: no such folder; say with 'dev' .*there: train, valid\)"):
        ReadIntents(folder=str(tmp_path)).key({})
    (tmp_path / "valid" / "label").unlink()
    with pytest.raises(UserError, match="label: no such file"):
        ReadIntents(folder=str(tmp_path), dev="valid", test=None).key({})
    with pytest.raises(UserError, match="none: no such folder"):
        ReadIntents(folder=str(tmp_path / "none")).key({})
