from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.text.retrieval.schemas import DOCUMENTS
from stages.text.retrieval.split_sentences import SplitSentences
from tests.case import artifact as written


def split(folder: Path, *documents: tuple[str, str | None, str], **fields: int) -> Artifact:
    columns = list(zip(*documents, strict=True))
    inputs = {"documents": written(folder / "documents", pa.table(columns, schema=DOCUMENTS), parts=1)}
    out = Artifact(folder / "out", "sentences")
    make(SplitSentences(**fields), inputs, out, LocalExecutor(max_error_rate=1))
    return out


def rows(artifact: Artifact) -> list[tuple]:
    return [tuple(r.values()) for r in artifact.read().to_pylist()]


def test_the_title_and_every_sentence(tmp_path: Path) -> None:
    found = split(
        tmp_path, ("a", "Leek soup", "Dr. Leek cut  it. It took 3.5 hours. Done!"), ("b", None, "soup . the leek .")
    )
    assert rows(found) == [
        ("a", 0, "Leek soup"),
        ("a", 1, "Dr. Leek cut it."),
        ("a", 2, "It took 3.5 hours."),
        ("a", 3, "Done!"),
        ("b", 0, "soup ."),
        ("b", 1, "the leek ."),
    ]


def test_a_document_without_sentences_is_one_error_row(tmp_path: Path) -> None:
    found = split(tmp_path, ("a", None, "... -- !"), ("b", None, "soup"))
    assert rows(found) == [("b", 0, "soup")]
    errors = found.errors()
    assert errors is not None
    assert errors["item"].to_pylist() == ["a"]


def test_of_a_long_sentence_nothing_is_dropped(tmp_path: Path) -> None:
    words = [f"w{i}" for i in range(25)]
    found = split(tmp_path, ("a", None, " ".join(words)), max_words=10)
    assert [text.split() for _, _, text in rows(found)] == [words[:10], words[10:20], words[20:]]
    with pytest.raises(UserError, match="max_words"):
        SplitSentences(max_words=0)
