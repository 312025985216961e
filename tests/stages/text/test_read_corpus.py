from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.text import read_corpus
from stages.text.read_corpus import ReadCorpus

TEXT = "One. \nTwo.\n\n\nThree.\n \nFour.\nFive.\nSix."
"""Three documents, at bytes 0, 13 and 22."""


def read(folder: Path, name: str = "out", **fields: object) -> Artifact:
    artifact = Artifact(folder / name, "corpus")
    make(ReadCorpus(texts=str(folder), **fields), {}, artifact, LocalExecutor())
    return artifact


def documents(artifact: Artifact) -> list[tuple[str, list[str]]]:
    return [(row["id"], row["sentences"]) for row in artifact.read().to_pylist()]


WHOLE = [("a.txt:0", ["One.", "Two."]), ("a.txt:13", ["Three."]), ("a.txt:22", ["Four.", "Five.", "Six."])]


def test_empty_lines_part_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    assert documents(read(tmp_path)) == WHOLE
    assert documents(read(tmp_path, "files", documents="files")) == [
        ("a.txt:0", ["One.", "Two.", "Three.", "Four.", "Five.", "Six."])
    ]


@pytest.mark.parametrize("size", range(1, len(TEXT)))
def test_blocks_of_any_size_lose_and_double_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    monkeypatch.setattr(read_corpus, "BLOCK_BYTES", size)
    out = read(tmp_path)
    assert len(out.parts) == -(-len(TEXT) // size)
    assert documents(out) == WHOLE


def test_short_files_share_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(6):
        (tmp_path / f"{i}.txt").write_text(f"Sentence {i}.\n\n")
    whole = read(tmp_path)
    assert [part.name for part in whole.parts] == ["part-00000.parquet"]
    assert documents(whole) == [(f"{i}.txt:0", [f"Sentence {i}."]) for i in range(6)]
    monkeypatch.setattr(read_corpus, "BLOCK_BYTES", 40)  # three files have 39
    out = read(tmp_path, "more")
    assert len(out.parts) == 2
    assert out.read().equals(whole.read())


def test_a_document_without_end_becomes_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    monkeypatch.setattr(read_corpus, "MOST_SENTENCES", 2)
    assert documents(read(tmp_path)) == [*WHOLE[:2], ("a.txt:22", ["Four.", "Five."]), ("a.txt:34", ["Six."])]


def test_documents_are_held_out_by_the_seed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n\n".join(f"Sentence {i}." for i in range(400)))
    splits = [
        read(tmp_path, str(i), dev_fraction=0.25, seed=s).read()["split"].to_pylist() for i, s in enumerate((0, 0, 1))
    ]
    assert splits[0] == splits[1] != splits[2]
    assert 70 < splits[0].count("dev") < 130


def test_lines_that_are_not_utf8_are_errors(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfOne.\n\xff\nTwo.\n")
    out = read(tmp_path)
    assert documents(out) == [("a.txt:0", ["One.", "Two."])]
    errors = out.errors()
    assert errors is not None
    assert errors["item"].to_pylist() == ["a.txt:8"]
    assert "the line at byte 8 is not UTF-8" in errors["reason"][0].as_py()


def test_no_file_and_no_fraction(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        ReadCorpus(texts=str(tmp_path / "none")).key({})
    with pytest.raises(UserError, match="dev_fraction"):
        ReadCorpus(texts="", dev_fraction=1.0)
