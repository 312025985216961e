from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from stages.text.retrieval.schemas import DOCUMENTS
from stages.text.retrieval.split_sentences import SENTENCES
from stages.text.retrieval.texts import Texts
from tests.case import artifact


def test_passages_of_each_document_with_their_numbers(tmp_path: Path) -> None:
    rows = [("a", 0, "a zero"), ("a", 1, "a one"), ("b", 0, "b zero"), ("c", 0, "c zero")]
    made = artifact(tmp_path / "sentences", pa.table(list(zip(*rows, strict=True)), schema=SENTENCES), parts=1)
    texts = Texts(made.parts)
    assert texts.of(["a", "c", "a", "lost"]) == {"a": [(0, "a zero"), (1, "a one")], "c": [(0, "c zero")]}
    assert texts.of([]) == texts.of(["lost"]) == {}
    assert Texts([]).of(["a"]) == {}


def test_a_document_of_several_parts_counts_once_its_title_first(tmp_path: Path) -> None:
    table = pa.table([["a", "b", "b", "c"], ["t", None, "u", None], ["one", "two", "three", "four"]], schema=DOCUMENTS)
    made = artifact(tmp_path / "documents", table, parts=2)
    assert Texts(made.parts).of("abc") == {"a": [(0, "t one")], "b": [(0, "two")], "c": [(0, "four")]}


def test_a_part_without_the_document_is_not_read_again(tmp_path: Path) -> None:
    table = pa.table([list("abcd"), [None] * 4, list("wxyz")], schema=DOCUMENTS)
    texts = Texts(artifact(tmp_path / "documents", table, parts=2).parts)
    assert texts.of("d") == {"d": [(0, "z")]}
    texts.parts[0].unlink()
    assert texts.of("c") == {"c": [(0, "y")]}
    with pytest.raises(FileNotFoundError):
        texts.of("a")
