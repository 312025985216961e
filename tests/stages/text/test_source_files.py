from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import Stage, UserError
from stages.text.read_conll import ReadConll
from stages.text.read_conllu import ReadConllu
from stages.text.read_corpus import ReadCorpus
from stages.text.read_natural_questions import ReadNaturalQuestions
from stages.text.read_semeval_absa import ReadSemevalAbsa
from stages.text.read_sentences import ReadSentences
from stages.text.read_sentihood import ReadSentihood
from stages.text.read_squad import ReadSquad
from stages.text.read_summary_shards import ReadSummaryShards
from stages.text.read_table import ReadTable
from stages.text.retrieval import collection_files
from stages.text.retrieval.read_documents import ReadDocuments
from stages.text.retrieval.read_pairs import ReadPairs
from stages.text.source_files import find_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files for every reader, one of them in a folder, and a folder called as a file is."""
    for name in ("deep", ".hidden"):
        (tmp_path / name).mkdir()
    for name in ("b.txt", "a.txt.gz", "notes", ".hidden.txt", ".hidden/d.txt", "deep/c.txt"):
        (tmp_path / name).write_text("here\n")
    (tmp_path / "folder.txt").mkdir()
    return tmp_path


def names(folder: Path, pattern: str, suffixes: tuple[str, ...] = (), recursive: bool = True) -> list[str]:
    return [p.relative_to(folder).as_posix() for p in find_files(str(folder / pattern), suffixes, recursive)]


def test_a_file_a_folder_or_a_glob(folder: Path) -> None:
    suffixes = (".txt", ".txt.gz")
    assert names(folder, "notes", suffixes) == ["notes"]
    assert names(folder, ".", suffixes) == ["a.txt.gz", "b.txt", "deep/c.txt"]
    assert names(folder, ".", suffixes, recursive=False) == ["a.txt.gz", "b.txt"]
    assert names(folder, ".") == ["a.txt.gz", "b.txt", "deep/c.txt", "notes"]
    assert names(folder, "*.gz", suffixes) == ["a.txt.gz"]


def test_folders_that_a_glob_matches_are_no_files(folder: Path) -> None:
    assert names(folder, "*") == ["a.txt.gz", "b.txt", "notes"]
    assert names(folder, "**") == ["a.txt.gz", "b.txt", "deep/c.txt", "notes"]
    for pattern in ("deep*", "none", "folder.txt"):
        with pytest.raises(UserError, match=r"no such file \(give a file, a folder with .txt files, or a glob\)"):
            find_files(str(folder / pattern), (".txt",))


def test_readers_that_share_the_rule(folder: Path) -> None:
    for pattern in ("", "**/*.txt"):
        found = [folder / "b.txt", folder / "deep" / "c.txt"]
        assert ReadSentences(texts=str(folder / pattern))._files() == found
        assert ReadCorpus(texts=str(folder / pattern))._files() == found
    assert collection_files.find(str(folder / "*")) == find_files(str(folder), recursive=False)
    (folder / "x.conllu").touch()
    (folder / "y.conllu").mkdir()
    assert ReadConllu(train=str(folder / "*.conllu"))._files() == [("train", folder / "x.conllu")]
    (folder / "x.train.json").touch()
    (folder / "y.train.json").mkdir()
    assert ReadSummaryShards(shards=str(folder))._files() == {folder / "x.train.json": "train"}
    assert ReadSummaryShards(shards=str(folder / "*.json"))._files() == {folder / "x.train.json": "train"}


@pytest.mark.parametrize("reader", [ReadConll, ReadPairs, ReadSemevalAbsa, ReadSentihood, ReadSquad, ReadTable])
def test_a_folder_where_a_file_is_wanted_is_said_before_any_work(folder: Path, reader: type[Stage]) -> None:
    with pytest.raises(UserError, match=f"{folder}: is a folder, give a file"):
        reader(train=str(folder)).key({})  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("reader", "field"), [(ReadConllu, "train"), (ReadNaturalQuestions, "train"), (ReadDocuments, "documents")]
)
def test_a_glob_of_folders_is_said_before_any_work(folder: Path, reader: type[Stage], field: str) -> None:
    with pytest.raises(UserError, match="no such file"):
        reader(**{field: str(folder / "de*")}).key({})
