from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import UserError
from stages.text.read_conll import ReadConll
from tests.stages.text.reading import read

CONLL = """-DOCSTART- -X- -X- O

EU NNP B-NP I-ORG
rejects VBZ B-VP O
German JJ B-NP I-MISC
call NN I-NP O

-DOCSTART- -X- O O

Peter NNP B-NP I-PER
Blackburn NNP I-NP I-PER
Paris NNP I-NP B-PER
"""


def write(path: Path, text: str) -> str:
    path.write_bytes(text.encode())
    return str(path)


def test_conll_2003_as_it_was_published(tmp_path: Path) -> None:
    rows, errors = read(ReadConll(train=write(tmp_path / "eng.train", CONLL), scheme="IOB1"), tmp_path)
    assert errors == []
    assert rows == [
        {
            "id": "eng.train:3",
            "document": "eng.train:1",
            "words": ["EU", "rejects", "German", "call"],
            "tags": ["B-ORG", "O", "B-MISC", "O"],
            "split": "train",
        },
        {
            "id": "eng.train:10",
            "document": "eng.train:8",
            "words": ["Peter", "Blackburn", "Paris"],
            "tags": ["B-PER", "I-PER", "B-PER"],  # IOB1's B- only parts spans that touch
            "split": "train",
        },
    ]


def test_bioes_becomes_bio(tmp_path: Path) -> None:
    text = "a S-PER\nb B-X\nc E-X\n"
    rows, errors = read(ReadConll(train=write(tmp_path / "a", text), scheme="BIOES"), tmp_path)
    assert [r["tags"] for r in rows] == [["B-PER", "B-X", "I-X"]]
    assert errors == []


def test_other_columns_and_tags_that_mark_no_spans(tmp_path: Path) -> None:
    text = "# a comment\n1\tNew York\tPROPN\n2\t#\tSYM\n\n\n3\tis\tAUX"
    stage = ReadConll(train=write(tmp_path / "a", text), word_column=1, scheme="none", comments="#")
    rows, errors = read(stage, tmp_path)
    assert [(r["id"], r["words"], r["tags"], r["document"]) for r in rows] == [
        ("a:2", ["New York", "#"], ["PROPN", "SYM"], None),
        ("a:6", ["is"], ["AUX"], None),
    ]
    assert errors == []


def test_splits_are_told_apart(tmp_path: Path) -> None:
    files = {split: write(tmp_path / split, "a B-X\r\nb I-X\r\n") for split in ("train", "dev", "test")}
    rows, _ = read(ReadConll(**files), tmp_path)
    assert [(r["id"], r["split"]) for r in rows] == [("train:1", "train"), ("dev:1", "dev"), ("test:1", "test")]


@pytest.mark.parametrize(
    ("sentence", "line", "reason"),
    [
        (b"a O\nb\nc O", 2, "1 columns, but its sentence begins with 2"),
        (b"a\nb", 1, "it has 1 columns, too few for word_column=0, tag_column=1"),
        (b"a O\nb I-X", 2, "'I-X' is against BIO, which has 'B-X' here; correct it, or say which scheme the file has"),
        (b"a O\nb E-X", 2, "'E-X' is no tag of BIO; correct it, or say which scheme the file has"),
        (b"a\tO\n\tO", 2, "an empty word or tag"),
        (b"a O\n\xff O", 2, "not UTF-8; save the file in that encoding"),
    ],
)
def test_a_bad_line_costs_its_sentence(sentence: bytes, line: int, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(sentence + b"\n\ngood O\n")
    rows, errors = read(ReadConll(train=str(tmp_path / "a"), tag_column=1), tmp_path)
    assert [r["words"] for r in rows] == [["good"]]
    assert errors == [(f"a:{line}", reason)]


def test_a_missing_file_is_said_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none: no such file"):
        ReadConll(train=str(tmp_path / "none")).key({})
