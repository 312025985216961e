from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.text import tables
from stages.text.retrieval.read_pairs import ReadPairs


def read(out: Path, **fields: object) -> tuple[list[dict], list[dict]]:
    artifact = Artifact(out, "pairs")
    make(ReadPairs(**fields), {}, artifact, LocalExecutor(max_error_rate=1))  # type: ignore[arg-type]
    errors = artifact.errors()
    return artifact.read().to_pylist(), errors.to_pylist() if errors else []


def test_a_triple_is_two_pairs_and_a_missing_column_one_error_row(tmp_path: Path) -> None:
    (tmp_path / "triples.tsv").write_text('what is "leek\ta leek\ta soup\nno negative\ttext\nq\t\tn\nq\tp\tn\n')
    pairs, errors = read(tmp_path / "out", train=str(tmp_path / "triples.tsv"))
    assert [(p["id"], p["query"], p["text"], p["label"], p["split"]) for p in pairs] == [
        ("triples.tsv:1+", 'what is "leek', "a leek", 1, "train"),
        ("triples.tsv:1-", 'what is "leek', "a soup", 0, "train"),
        ("triples.tsv:4+", "q", "p", 1, "train"),
        ("triples.tsv:4-", "q", "n", 0, "train"),
    ]
    assert [(e["item"], e["reason"]) for e in errors] == [
        ("triples.tsv:2", "2 columns instead of 3 (query, positive, negative)"),
        ("triples.tsv:3", "the positive is empty"),
    ]


def test_a_damaged_first_line_is_an_error_row(tmp_path: Path) -> None:
    (tmp_path / "triples.tsv").write_text("leek\tonly one\nq\tp\tn\nq\tp\tn\n")
    pairs, errors = read(tmp_path / "out", train=str(tmp_path / "triples.tsv"))
    assert (len(pairs), [e["item"] for e in errors]) == (4, ["triples.tsv:1"])


def test_labelled_pairs_to_watch_training_with(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("label\tquery\ttext\n1\tleek\ta leek\n2\tleek\ta soup\n")
    rows = [{"query_id": 3, "query": "q", "text": "t", "label": 0}, {"query": "q", "text": "t"}]
    (tmp_path / "dev.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    pairs, errors = read(tmp_path / "out", train=str(tmp_path / "train.tsv"), dev=str(tmp_path / "dev.jsonl"))
    assert [(p["id"], p["query_id"], p["label"], p["split"]) for p in pairs] == [
        ("train.tsv:2", None, 1, "train"),
        ("dev.jsonl:1", "3", 0, "dev"),
    ]
    assert [(e["item"], e["reason"]) for e in errors] == [
        ("train.tsv:3", "the label is '2': give 1 for a relevant text, 0 for another"),
        ("dev.jsonl:2", "has no label"),
    ]


def test_large_files_are_read_in_blocks(tmp_path: Path) -> None:
    lines = 3 * tables.BLOCK_BYTES // 1000
    (tmp_path / "t.tsv").write_text("".join(f"query {i}\t{'leek ' * 99}\t{'soup ' * 99}\n" for i in range(lines)))
    pairs, _ = read(tmp_path / "out", train=str(tmp_path / "t.tsv"))
    assert [p["id"] for p in pairs] == [f"t.tsv:{i}{sign}" for i in range(1, lines + 1) for sign in "+-"]
    assert len(Artifact(tmp_path / "out", "").parts) >= 3
    some, _ = read(tmp_path / "some", train=str(tmp_path / "t.tsv"), lines=3)
    assert some == pairs[: len(some)]
    assert 6 <= len(some) < len(pairs) / 2


def test_another_table_is_refused_at_plan_time(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("query,text\n")
    with pytest.raises(UserError, match="or a table with the columns query, text, label"):
        ReadPairs(train=str(tmp_path / "a.csv")).fingerprint()
    with pytest.raises(UserError, match="lines must be at least 1"):
        ReadPairs(train="a.tsv", lines=0)
