from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.text.read_summary_shards import ReadSummaryShards

CAT = {"src": [["the", "cat", "sat", "."], [], ["it", "slept", "."]], "tgt": [["a", "cat"]]}
DOG = {"src": [["the", "dog", "-lrb-", "!"]], "tgt": []}


def read(shards: Path, out: Path) -> Artifact:
    stage = ReadSummaryShards(shards=str(shards))
    stage.fingerprint()
    make(stage, {}, artifact := Artifact(out, "rows"), LocalExecutor())
    return artifact


def write(path: Path, *documents: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(documents))


def test_tokens_become_sentences_and_names_splits(tmp_path: Path) -> None:
    write(tmp_path / "shards/x.train.0.json", CAT, DOG)
    write(tmp_path / "shards/x.valid.0.json", DOG)
    (tmp_path / "shards/x.test.0.jsonl").write_text(f"{json.dumps(CAT)}\n\n{json.dumps(DOG)}\n")
    rows = read(tmp_path / "shards", tmp_path / "out").read().to_pylist()
    assert [(r["id"], r["split"]) for r in rows] == [
        ("x.test.0.jsonl:0", "test"),
        ("x.test.0.jsonl:1", "test"),
        ("x.train.0.json:0", "train"),
        ("x.train.0.json:1", "train"),
        ("x.valid.0.json:0", "dev"),
    ]
    assert rows[0]["sentences"] == ["the cat sat .", "it slept ."]
    assert [r["summary"] for r in rows[:2]] == [["a cat"], []]


def test_a_bad_document_is_an_error_row_and_the_others_stay(tmp_path: Path) -> None:
    write(tmp_path / "shards/x.train.0.json", CAT, {"src": "the cat", "tgt": []}, {"src": [[]], "tgt": []}, 7, DOG, CAT)
    (tmp_path / "shards/x.train.1.json").write_text('[{"src": ')
    artifact = read(tmp_path / "shards", tmp_path / "out")
    assert artifact.read()["id"].to_pylist() == [f"x.train.0.json:{i}" for i in (0, 4, 5)]
    errors = dict(zip(*(artifact.errors()[c].to_pylist() for c in ("item", "reason")), strict=True))
    assert errors["x.train.0.json:1"] == '"src" is no list of sentences, each a list of tokens'
    assert errors["x.train.0.json:2"] == "a document without sentences"
    assert "x.train.0.json:3" in errors
    assert "not JSON" in errors[str(tmp_path / "shards/x.train.1.json")]


def test_a_bad_line_is_an_error_row_and_a_line_ends_nowhere_else(tmp_path: Path) -> None:
    strange = {"src": [["the", "cat\u2028sat"]], "tgt": []}
    (tmp_path / "x.train.0.jsonl").write_bytes(
        b"\n".join(
            [json.dumps(CAT).encode(), b"{oops", b'{"src": "\xe9"}', json.dumps(strange, ensure_ascii=False).encode()]
        )
    )
    artifact = read(tmp_path / "x.train.0.jsonl", tmp_path / "out")
    rows = artifact.read().to_pylist()
    assert [r["id"] for r in rows] == ["x.train.0.jsonl:0", "x.train.0.jsonl:3"]
    assert rows[1]["sentences"] == ["the cat\u2028sat"]
    errors = artifact.errors()
    assert errors is not None
    assert errors["item"].to_pylist() == ["x.train.0.jsonl:1", "x.train.0.jsonl:2"]
    assert all("not JSON" in reason for reason in errors["reason"].to_pylist())


def test_a_name_without_a_split_and_an_empty_folder_are_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such file .*a folder with .json or .jsonl files"):
        ReadSummaryShards(shards=str(tmp_path)).fingerprint()
    write(tmp_path / "training.json", CAT)
    with pytest.raises(UserError, match="says train, valid or test between dots"):
        ReadSummaryShards(shards=str(tmp_path)).fingerprint()


def test_half_a_character_costs_its_document(tmp_path: Path) -> None:
    write(tmp_path / "x.train.0.json", CAT, {"src": [["half", "\ud83d"]], "tgt": []}, *[DOG] * 3)
    artifact = read(tmp_path / "x.train.0.json", tmp_path / "out")
    assert artifact.rows() == 4
    errors = artifact.errors()
    assert errors is not None
    assert errors["item"].to_pylist() == ["x.train.0.json:1"]
    assert errors["reason"].to_pylist()[0].startswith("a text has half a character, \\ud83d")


def test_a_mark_of_the_byte_order_is_no_text(tmp_path: Path) -> None:
    for name, text in (("0.json", json.dumps([CAT, DOG])), ("1.jsonl", json.dumps(CAT))):
        (tmp_path / f"x.train.{name}").write_text(text, encoding="utf-8-sig")
    artifact = read(tmp_path, tmp_path.parent / f"{tmp_path.name}-out")
    assert (artifact.rows(), artifact.errors()) == (3, None)
