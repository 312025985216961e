from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.text.read_natural_questions import ReadNaturalQuestions
from tests.stages.text.small_pages import annotated, annotation, nq_page, simplified


def pages(first: int, number: int) -> list[dict[str, Any]]:
    made = [nq_page(first + i, f"question {i}", [("P", "in 1895 ."), ("Ul", "now")]) for i in range(number)]
    return [annotated(p, annotation(p, 0, [(5, 6)])) for p in made]


def write(path: Path, entries: list[Any]) -> str:
    lines = "".join((e if isinstance(e, str) else json.dumps(e)) + "\n" for e in entries).encode()
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)
    return str(path)


def read(folder: Path, **fields: Any) -> Artifact:
    out = Artifact(folder / "out", "key")
    make(ReadNaturalQuestions(**fields), {}, out, LocalExecutor())
    return out


def test_both_formats_compressed_or_not(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    write(tmp_path / "train" / "a.jsonl.gz", pages(0, 3))
    write(tmp_path / "train" / "b.jsonl", [simplified(p) for p in pages(10, 2)])
    out = read(tmp_path, train=str(tmp_path / "train"), dev=write(tmp_path / "dev.jsonl", pages(20, 1)))
    rows = out.read().to_pylist()
    assert [(r["id"], r["split"]) for r in rows] == [
        *((str(i), "train") for i in (0, 1, 2, 10, 11)),
        ("20", "dev"),
    ]
    assert all(r["candidates"][0]["words"] == "in 1895 ." for r in rows)
    assert [rows[i]["source"] for i in (0, 2, 3, 5)] == ["a.jsonl.gz:1", "a.jsonl.gz:3", "b.jsonl:1", "dev.jsonl:1"]


def test_what_is_no_page_is_an_error_row_with_its_line(tmp_path: Path) -> None:
    bare = nq_page(7, "a question", [])
    good = pages(0, 4)
    path = write(tmp_path / "train.jsonl.gz", [good[0], bare, "", "{oops", good[1], good[2], good[3]])
    out = read(tmp_path, train=path)
    assert out.read()["id"].to_pylist() == ["0", "1", "2", "3"]
    errors = out.errors()
    assert errors is not None
    reasons = dict(zip(errors["item"].to_pylist(), errors["reason"].to_pylist(), strict=True))
    assert reasons["train.jsonl.gz:2"] == "the page has no top-level candidate with words, so nothing on it can answer"
    assert reasons["train.jsonl.gz:4"].startswith("Expecting property name")
    assert len(reasons) == 2


def test_pages_for_dev_and_test_stay_where_they_cannot_be_read(tmp_path: Path) -> None:
    bare = annotated(nq_page(7, "a question", []), annotation(nq_page(0, "q", [("P", "in")]), 0, [(4, 5)]))
    entries = [*pages(0, 2), bare, {"question_text": "q"}]
    out = read(tmp_path, train=write(tmp_path / "train.jsonl", entries), test=write(tmp_path / "test.jsonl", entries))
    rows = out.read().to_pylist()
    assert [(r["id"], r["split"], len(r["candidates"])) for r in rows] == [
        *(("0", "train", 2), ("1", "train", 2)),
        *(("0", "test", 2), ("1", "test", 2), ("7", "test", 0)),
    ]
    assert rows[-1]["annotations"][0]["short"] == [{"start": 4, "end": 5}]
    errors = out.errors()
    assert errors is not None
    assert errors["item"].to_pylist() == ["train.jsonl:3", "train.jsonl:4", "test.jsonl:3", "test.jsonl:4"]


def test_a_file_that_was_cut_off_gives_what_it_has(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "train.jsonl.gz", pages(0, 200)))
    path.write_bytes(path.read_bytes()[:-400])
    out = read(tmp_path, train=str(path))
    assert 0 < out.rows() < 200
    errors = out.errors()
    assert errors is not None
    assert errors["item"].to_pylist() == [f"train.jsonl.gz:{out.rows() + 1} and what follows"]
    assert errors["reason"].to_pylist() == ["the file ends in the middle of its compressed data; get it again"]


def test_fields_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least one of"):
        ReadNaturalQuestions()
    with pytest.raises(UserError, match="part_mib"):
        ReadNaturalQuestions(train="a", part_mib=0)
    with pytest.raises(UserError, match="no such file"):
        ReadNaturalQuestions(train=str(tmp_path / "none")).fingerprint()


def test_a_value_that_no_table_can_hold_costs_its_page(tmp_path: Path) -> None:
    """For dev and test it leaves a row that can be scored."""
    good, far, halved, endless = pages(0, 4)
    far["annotations"][0]["short_answers"][0]["end_token"] = 1 << 40
    halved["document_title"] = "half \ud83d"
    endless["annotations"][0]["long_answer"]["start_token"] = float("inf")
    entries = [good, far, halved, endless, *pages(4, 6)]
    out = Artifact(tmp_path / "out", "key")
    stage = ReadNaturalQuestions(
        train=write(tmp_path / "train.jsonl", entries), dev=write(tmp_path / "dev.jsonl", entries)
    )
    make(stage, {}, out, LocalExecutor(max_error_rate=1.0))
    rows = [row for row in out.read().to_pylist() if row["id"] in "0123"]
    assert [(row["id"], row["split"], len(row["candidates"])) for row in rows] == [
        *(("0", "train", 2), ("0", "dev", 2), ("1", "dev", 0), ("2", "dev", 0), ("3", "dev", 0))
    ]
    assert rows[-2]["title"] == "half ?"
    errors = out.errors()
    assert errors is not None
    for split in ("train", "dev"):
        reasons = {e["item"]: e["reason"] for e in errors.to_pylist()}
        assert reasons[f"{split}.jsonl:2"].startswith("its annotations is no list")
        assert reasons[f"{split}.jsonl:3"].startswith("a text has half a character")
        assert "infinity" in reasons[f"{split}.jsonl:4"]
