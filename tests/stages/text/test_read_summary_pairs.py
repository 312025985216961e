from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.text.read_summary_pairs import ReadSummaryPairs


def write(folder: Path, **files: str | bytes) -> None:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


def stage(folder: Path, headline: bool = False) -> ReadSummaryPairs:
    return ReadSummaryPairs(articles=str(folder / "articles"), summaries=str(folder / "summaries"), headline=headline)


def read(stage: ReadSummaryPairs, out: Path) -> Artifact:
    stage.fingerprint()
    make(stage, {}, artifact := Artifact(out, "rows"), LocalExecutor())
    return artifact


def test_files_of_one_name_are_a_pair(tmp_path: Path) -> None:
    write(tmp_path / "articles", tech__1="Cats\n\nThe\u2028cat sat.\r\nIt slept.\n", test__2="Dogs\nA dog barked.")
    write(tmp_path / "summaries", tech__1="It slept.\n", test__2="A dog.", tech__3="of no article")
    rows = read(stage(tmp_path, headline=True), tmp_path / "out").read().to_pylist()
    assert rows == [
        {"id": "tech/1", "sentences": ["The\u2028cat sat.", "It slept."], "summary": ["It slept."], "split": "train"},
        {"id": "test/2", "sentences": ["A dog barked."], "summary": ["A dog."], "split": "test"},
    ]
    (other,) = [r for r in read(stage(tmp_path), tmp_path / "whole").read().to_pylist() if r["id"] == "test/2"]
    assert other["sentences"] == ["Dogs", "A dog barked."]


def test_paragraphs_are_cut_into_sentences(tmp_path: Path) -> None:
    write(tmp_path / "articles", a="The U.S. firm won. It cost $3.5m.\nThat was all.")
    write(tmp_path / "summaries", a="It won.")
    rows = read(replace(stage(tmp_path), lines="paragraphs"), tmp_path / "out").read().to_pylist()
    assert rows[0]["sentences"] == ["The U.S. firm won.", "It cost $3.5m.", "That was all."]


def test_a_missing_summary_an_empty_article_and_bytes_that_are_no_text_are_error_rows(tmp_path: Path) -> None:
    write(tmp_path / "articles", a="Fine.", b="Alone.", c="\n", d=b"caf\xe9", e="Fine too.", f="And this.")
    write(tmp_path / "summaries", a="Fine.", c="Nothing.", d="Cafe.", e="Fine.", f="This.")
    artifact = read(stage(tmp_path), tmp_path / "out")
    assert artifact.read()["id"].to_pylist() == ["a", "e", "f"]
    reasons = artifact.errors()["reason"].to_pylist()
    assert artifact.errors()["item"].to_pylist() == ["b.txt", "c.txt", "d.txt"]
    assert [r.partition(": ")[2].partition(";")[0] for r in reasons] == [
        "no such file",
        "a document without sentences",
        "not UTF-8 at byte 3",
    ]


def test_a_folder_without_articles_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give the folder of the articles"):
        stage(tmp_path).fingerprint()
