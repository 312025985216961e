from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import Artifact, LocalExecutor
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
    assert queries == [("301", "International Crime", None), ("302", "Polio", None)]
    assert [(e["item"], e["reason"]) for e in errors] == [("topics:12", "a topic without <title>")]


def test_a_file_may_name_the_folds(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(
        '{"qid": 1, "query": "leek", "fold": 3}\n{"qid": 2, "query": "soup", "fold": "x"}\n'
        '{"qid": 1, "query": "again"}\n{"qid": 3, "query": " "}\n'
    )
    queries, errors = read(tmp_path / "q.jsonl", tmp_path / "out")
    assert queries == [("1", "leek", 3)]
    assert [e["reason"] for e in errors] == [
        'its fold is "x", not a number from 0 on',
        "query 1 a second time",
        "query 3 has no text",
    ]


def test_top1000_has_a_query_in_many_lines(tmp_path: Path) -> None:
    (tmp_path / "top1000.dev").write_text("1\t7\tq one\tleek\n2\t7\tq two\tleek\n1\t8\tq one\tsoup\n")
    assert read(tmp_path / "top1000.dev", tmp_path / "out") == ([("1", "q one", None), ("2", "q two", None)], [])


def test_a_value_that_no_table_can_hold_costs_its_query(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(
        '{"qid": 1, "query": "leek"}\n{"qid": 2, "query": "soup", "fold": 3000000000}\n{"qid": 3, "query": "\\ud83d"}\n'
    )
    queries, errors = read(tmp_path / "q.jsonl", tmp_path / "out")
    assert queries == [("1", "leek", None)]
    assert {e["item"]: e["reason"][:28] for e in errors} == {
        "q.jsonl:2": "its fold is no int32 (Value ",
        "q.jsonl:3": "a text has half a character,",
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("q.tsv", b"a\tone\nbroken\nc\tthree\n"),
        ("q.jsonl", b'{"id": "a", "text": "one"}\n{"id": "b"}\n{"id": "c", "text": "three"}\n'),
        ("q.qry", b"stray\n.I a\n.W\none\n.I b\n.W\n\xe9\n.I c\n.W\nthree\n"),
    ],
)
def test_a_query_that_is_an_error_row_keeps_its_position(tmp_path: Path, name: str, text: bytes) -> None:
    (tmp_path / name).write_bytes(text)
    queries, errors = read(tmp_path / name, tmp_path / "out", numbering="position")
    assert [q[:2] for q in queries] == [("1", "one"), ("3", "three")]
    assert len(errors) == 1 + (name == "q.qry")
