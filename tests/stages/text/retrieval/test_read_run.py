from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.text.retrieval.read_run import ReadRun


def read(text: str, folder: Path) -> tuple[list[tuple], list[dict]]:
    (folder / "a.run").write_text(text)
    artifact = Artifact(folder / "out", "run")
    make(ReadRun(run_file=str(folder / "a.run")), {}, artifact, LocalExecutor(max_error_rate=1))
    errors = artifact.errors()
    return [tuple(r.values()) for r in artifact.read().to_pylist()], errors.to_pylist() if errors else []


def test_trec(tmp_path: Path) -> None:
    rows, errors = read(
        "q1 Q0 a 1 2.5 bm25\nq1\tQ0\tb\t2\t-1e3\tbm25\nq1 Q0 c x 1 bm25\nq1 Q0 d 1\nq2 Q0 e 1 nan r\n", tmp_path
    )
    assert rows == [("q1", "a", 1, 2.5), ("q1", "b", 2, -1000.0)]
    assert [(e["item"], e["reason"]) for e in errors] == [
        ("a.run:3", "rank and score must be numbers: q1 Q0 c x 1 bm25"),
        ("a.run:4", "4 columns instead of 6 (query_id, q0, doc_id, rank, score, name)"),
        ("a.run:5", "rank and score must be numbers: q2 Q0 e 1 nan r"),
    ]


def test_msmarco(tmp_path: Path) -> None:
    assert read("1\t7\t1\n1\t8\t2\n", tmp_path)[0] == [("1", "7", 1, 1.0), ("1", "8", 2, 0.5)]


def test_candidates_of_top1000_are_not_ranked(tmp_path: Path) -> None:
    assert read("1\t7\ta query\ta passage\n", tmp_path)[0] == [("1", "7", None, None)]


def test_a_damaged_first_line_is_an_error_row(tmp_path: Path) -> None:
    rows, errors = read("q1 Q0 a\nq1 Q0 b 2 2.5 bm25\nq1 Q0 c 3 1.5 bm25\n", tmp_path)
    assert [row[1] for row in rows] == ["b", "c"]
    assert [e["item"] for e in errors] == ["a.run:1"]


def test_another_file_is_refused_at_plan_time(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one two\n")
    with pytest.raises(UserError, match="its first lines are none of a run"):
        ReadRun(run_file=str(tmp_path / "a")).fingerprint()


def test_a_rank_that_is_too_large_costs_its_row(tmp_path: Path) -> None:
    rows, errors = read("1\t7\t1\n1\t8\t3000000000\n1\t9\t2\n", tmp_path)
    assert [row[1] for row in rows] == ["7", "9"]
    assert [(e["item"], e["reason"][:21]) for e in errors] == [("a.run:2", "its rank is no int32 ")]
