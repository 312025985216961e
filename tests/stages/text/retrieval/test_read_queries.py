from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.text.retrieval.read_queries import ReadQueries
from tests.stages.text.retrieval.tiny_collection import write_collection


def read(path: Path, out: Path, **fields: object) -> tuple[list[tuple], list[dict]]:
    artifact = Artifact(out, "queries")
    make(ReadQueries(queries=str(path), **fields), {}, artifact, LocalExecutor(max_error_rate=1))  # type: ignore[arg-type]
    errors = artifact.errors()
    return [tuple(r.values()) for r in artifact.read().to_pylist()], errors.to_pylist() if errors else []


def test_smart_by_id_or_by_position(tmp_path: Path) -> None:
    """Cranfield's judgements count its queries, whose own ids are no numbering."""
    path = write_collection(tmp_path) / "cran.qry"
    assert [q[:2] for q in read(path, tmp_path / "id")[0]][:2] == [("10", "leek soup"), ("20", "fry an onion")]
    by_position, _ = read(path, tmp_path / "position", numbering="position")
    assert [q[0] for q in by_position] == ["1", "2", "3", "4"]


def test_trec_topics(tmp_path: Path) -> None:
    (tmp_path / "topics").write_text(
        "<top>\n<num> Number: 301 \n<title> International  Crime\n\n<desc> Description:\nWho?\n</top>\n"
        "<top>\n<num>302</num>\n<title>Polio</title>\n</top>\n<top>\n<num> Number: 303\n</top>\n"
    )
    queries, errors = read(tmp_path / "topics", tmp_path / "out")
    assert queries == [("301", "International Crime", 0), ("302", "Polio", 0)]
    assert [(e["item"], e["reason"]) for e in errors] == [("topics:12", "a topic without <title>")]


def test_folds_are_of_like_size_and_seeded(tmp_path: Path) -> None:
    (tmp_path / "q.tsv").write_text("".join(f"{i}\tquery {i}\n" for i in range(23)))
    folds = [q[2] for q in read(tmp_path / "q.tsv", tmp_path / "a", folds=5)[0]]
    assert sorted(Counter(folds).values()) == [4, 4, 5, 5, 5]
    assert folds == [q[2] for q in read(tmp_path / "q.tsv", tmp_path / "b", folds=5)[0]]
    assert folds != [q[2] for q in read(tmp_path / "q.tsv", tmp_path / "c", folds=5, seed=1)[0]]


def test_a_file_may_name_the_folds(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(
        '{"qid": 1, "query": "leek", "fold": 3}\n{"qid": 2, "query": "soup", "fold": "x"}\n'
        '{"qid": 1, "query": "again"}\n{"qid": 3, "query": " "}\n'
    )
    queries, errors = read(tmp_path / "q.jsonl", tmp_path / "out", folds=4)
    assert queries == [("1", "leek", 3)]
    assert [e["reason"] for e in errors] == [
        'its fold is "x", not a number from 0 on',
        "query 1 a second time",
        "query 3 has no text",
    ]


def test_a_fold_that_nobody_would_rank_is_refused(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"qid": 1, "query": "leek", "fold": 3}\n')
    with pytest.raises(UserError, match=r"names the fold 3: give folds 4 or more \(it is 3\)"):
        read(tmp_path / "q.jsonl", tmp_path / "out", folds=3)


def test_top1000_has_a_query_in_many_lines(tmp_path: Path) -> None:
    (tmp_path / "top1000.dev").write_text("1\t7\tq one\tleek\n2\t7\tq two\tleek\n1\t8\tq one\tsoup\n")
    assert read(tmp_path / "top1000.dev", tmp_path / "out") == ([("1", "q one", 0), ("2", "q two", 0)], [])


def test_folds_must_be_positive() -> None:
    with pytest.raises(UserError, match="folds must be at least 1"):
        ReadQueries(queries="q", folds=0)
