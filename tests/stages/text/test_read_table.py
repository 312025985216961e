from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import Artifact, Graph, LocalExecutor, Store, UserError, run
from stages.text.read_table import ReadTable


def read(store: Path, **fields: str) -> Artifact:
    graph = Graph()
    graph.add("rows", ReadTable(**fields))
    return run(graph, Store(store), LocalExecutor())["rows"]


def test_columns_of_any_name_become_rows_with_their_split(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('question,other,why,class\n"Who, me?",you,x,3\n')
    (tmp_path / "b.jsonl").write_text('{"question": "What?", "other": "that", "class": 1}\n')
    pq.write_table(pa.table({"question": ["Where?"], "other": ["here"]}), tmp_path / "c.parquet")
    files = {"train": f"{tmp_path}/a.csv", "dev": f"{tmp_path}/*.jsonl", "test": f"{tmp_path}/c.parquet"}
    rows = read(tmp_path / "store", **files, text="question", second="other", label="class").read().to_pylist()
    assert rows == [
        {"id": "a.csv:2", "text": "Who, me?", "second": "you", "label": "3", "split": "train"},
        {"id": "b.jsonl:1", "text": "What?", "second": "that", "label": "1", "split": "dev"},
        {"id": "c.parquet:1", "text": "Where?", "second": "here", "label": None, "split": "test"},
    ]


def test_rows_without_text_or_label_are_error_rows(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("text\tlabel\n \tx\nhello\t\ngood\tx\nbad\n" + "good\ty\n" * 2)
    artifact = read(tmp_path / "store", train=f"{tmp_path}/a.tsv")
    assert artifact.read()["text"].to_pylist() == ["good"] * 3
    assert artifact.errors().select(["item", "reason"]).to_pylist() == [
        {"item": "a.tsv:2", "reason": "no text in the column 'text'"},
        {"item": "a.tsv:3", "reason": "no label in the column 'label'"},
        {"item": "a.tsv:5", "reason": "1 columns instead of 2 (text, label)"},
    ]


def test_a_wrong_column_is_said_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sentence,label\nx,1\n")
    with pytest.raises(UserError, match=r"has no column 'text' \(it has sentence, label\)"):
        read(tmp_path / "store", train=f"{tmp_path}/a.csv")
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / "store", train=f"{tmp_path}/b.csv")
    with pytest.raises(UserError, match="at least one"):
        ReadTable()


def test_half_a_character_costs_its_row(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"text": "one", "label": "x"}\n{"text": "bad \\ud83d", "label": "x"}\n'
        + '{"text": "\\ud83d\\ude00", "label": "y"}\n'
        + '{"text": "more", "label": "y"}\n' * 2
    )
    artifact = read(tmp_path / "store", train=f"{tmp_path}/a.jsonl")
    assert artifact.read()["text"].to_pylist() == ["one", "\U0001f600", "more", "more"]
    assert artifact.errors().select(["item", "reason"]).to_pylist() == [
        {"item": "a.jsonl:2", "reason": "a text has half a character, \\ud83d (a lone surrogate): write it whole"}
    ]


def test_rows_of_files_with_one_name_have_ids_of_their_own(tmp_path: Path) -> None:
    for folder in ("a", "b/c"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "train.tsv").write_text("text\tlabel\nhello\tx\nbye\ty\n\tx\n" + "more\tx\n" * 3)
    (tmp_path / "b/dev.tsv").write_text("text\tlabel\nhello\tx\n")
    artifact = read(tmp_path / "store", train=f"{tmp_path}/**/train.tsv", dev=f"{tmp_path}/b/dev.tsv")
    ids = artifact.read()["id"].to_pylist()
    assert [id_ for id_ in ids if id_.endswith(":2")] == ["a/train.tsv:2", "b/c/train.tsv:2", "dev.tsv:2"]
    assert len(set(ids)) == len(ids) == 11
    assert artifact.errors()["item"].to_pylist() == ["a/train.tsv:4", "b/c/train.tsv:4"]
