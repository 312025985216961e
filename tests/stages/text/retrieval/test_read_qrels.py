from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.text.retrieval.read_qrels import ReadQrels
from tests.case import artifact as written
from tests.pipeline.careful import CarefulExecutor
from tests.stages.text.retrieval.tiny_collection import write_collection


def read(text: str | Path, folder: Path, known: tuple[str, ...] = (), **fields: str) -> tuple[list[tuple], list[dict]]:
    path = text if isinstance(text, Path) else folder / "qrels"
    if isinstance(text, str):
        path.write_text(text)
    inputs = {"queries": written(folder / "queries", pa.table({"query_id": known}), parts=1)} if known else {}
    artifact = Artifact(folder / "out", "qrels")
    make(ReadQrels(qrels=str(path), **fields), inputs, artifact, LocalExecutor(max_error_rate=1))  # type: ignore[arg-type]
    errors = artifact.errors()
    return [tuple(r.values()) for r in artifact.read().to_pylist()], errors.to_pylist() if errors else []


def test_a_row_of_an_unknown_query_is_one_error_row(tmp_path: Path) -> None:
    """Cleverdon's 1 is a complete answer, so the highest grade; -1 is not relevant."""
    path = write_collection(tmp_path / "in") / "cranqrel"
    rows, errors = read(path, tmp_path, known=("1", "2", "3", "4"), scale="cleverdon")
    assert rows == [("1", "1", 4), ("1", "2", 2), ("1", "3", 0), ("2", "5", 3), ("2", "2", 3), ("3", "3", 4)]
    assert [e["item"] for e in errors] == ["cranqrel:7"]
    assert errors[0]["reason"].startswith("query 9 is not among the queries")


def test_without_queries_every_judgement_counts(tmp_path: Path) -> None:
    rows, errors = read("1 0 a 1\n2\t0\tb\t2\n", tmp_path)
    assert (rows, errors) == ([("1", "a", 1), ("2", "b", 2)], [])


@pytest.mark.parametrize(("scale", "grades"), [("rising", [3, 0, 0]), ("binary", [1, 0, 0]), ("cleverdon", [2, 0, 0])])
def test_scales(tmp_path: Path, scale: str, grades: list[int]) -> None:
    assert [g for _, _, g in read("1 0 a 3\n1 0 b 0\n1 0 c -1\n", tmp_path, scale=scale)[0]] == grades


def test_a_pair_judged_in_two_files_is_judged_once_however_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    for name, grade in (("a", 1), ("b", 2)):
        (tmp_path / "qrels" / name).write_text(f"1 0 leek {grade}\n")
    artifact = Artifact(tmp_path / "out", "qrels")
    make(ReadQrels(qrels=str(tmp_path / "qrels")), {}, artifact, CarefulExecutor(max_error_rate=1))
    assert artifact.read()["grade"].to_pylist() == [1]
    assert artifact.errors()["item"].to_pylist() == ["b:1"]


def test_a_header_and_bad_rows(tmp_path: Path) -> None:
    text = "query-id\tcorpus-id\tscore\nq1\ta\t1\nq1\ta\t0\nq1\tb\tx\nq1\tc\nq2\tc\t1\n"
    rows, errors = read(text, tmp_path)
    assert rows == [("q1", "a", 1), ("q2", "c", 1)]
    assert [(e["item"], e["reason"]) for e in errors] == [
        ("qrels:3", "document a is judged for query q1 a second time"),
        ("qrels:4", "the grade is 'x', not a whole number"),
        ("qrels:5", "2 columns instead of 3 (query_id, doc_id, grade)"),
    ]


def test_a_damaged_first_line_is_an_error_row(tmp_path: Path) -> None:
    rows, errors = read("1 0 a\n1 0 b 1\n1 0 c 1\n", tmp_path)
    assert rows == [("1", "b", 1), ("1", "c", 1)]
    assert [e["item"] for e in errors] == ["qrels:1"]


def test_several_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.qrels").write_text("1 0 a 1\n")
    (tmp_path / "in/b.qrels").write_text("2 b 3\n")
    for files in (tmp_path / "in", tmp_path / "in/*.qrels"):
        assert read(files, tmp_path)[0] == [("1", "a", 1), ("2", "b", 3)]


def test_another_file_is_refused_at_plan_time(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one\n")
    with pytest.raises(UserError, match="its first lines are no judgements"):
        ReadQrels(qrels=str(tmp_path / "a")).fingerprint()
    with pytest.raises(UserError, match="no such file"):
        ReadQrels(qrels=str(tmp_path / "b")).fingerprint()


def test_a_grade_that_is_too_large_costs_its_row(tmp_path: Path) -> None:
    rows, errors = read("1 0 a 1\n1 0 b 3000000000\n2 0 b 2\n", tmp_path)
    assert rows == [("1", "a", 1), ("2", "b", 2)]
    assert [(e["item"], e["reason"][:22]) for e in errors] == [("qrels:2", "its grade is no int32 ")]
