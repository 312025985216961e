from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.text.augment import Augment
from stages.text.rewriter import Request, Rewriter
from tests.stages.text.small_rewriters import LABELS, classifier, conditional, labelled, speaks_by_label

STAGE = Augment(copies=3, every=3)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    folder = tmp_path_factory.mktemp("augment")
    return {"rows": labelled(folder / "rows"), "model": conditional(folder / "model")}


def augment(stage: Augment, inputs: dict[str, Artifact], out: Path) -> Artifact:
    made = Artifact(out, "augmented")
    make(stage, inputs, made, LocalExecutor())
    return made


def new(stage: Augment, inputs: dict[str, Artifact], out: Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in augment(stage, inputs, out).read().to_pylist()}


def test_words_are_replaced_and_all_else_stays(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    made = augment(STAGE, inputs, tmp_path)
    rows = made.read().to_pylist()
    old = {r["id"]: r for r in inputs["rows"].read().to_pylist() if r["split"] == "train" and r["text"] != "?!"}
    assert [r["id"] for r in rows] == [f"{id_}+{copy}" for id_ in old for copy in (1, 2, 3)]
    for row in rows:
        source = old[row["id"].partition("+")[0]]
        assert (row["original"], row["label"], row["split"]) == (source["text"], source["label"], "train")
        before, after = (re.findall(r"\w+", text) for text in (row["original"], row["text"]))
        assert re.sub(r"\w+", "_", row["text"]) == re.sub(r"\w+", "_", row["original"])
        changed = [f"{a} > {b.lower()}" for a, b in zip(before, after, strict=True) if a.lower() != b.lower()]
        assert changed == row["changes"]
        assert len(changed) <= max(1, len(before) // 3)
        assert row["text"][0].isupper() == row["original"][0].isupper() or row["text"][0].isdigit()
    assert made.manifest["unchanged"] == sum(r["text"] == r["original"] for r in rows)


def test_what_is_written_is_of_the_row_s_label(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    speaker = speaks_by_label(tmp_path / "model", good="soup", bad="now")
    rows = augment(replace(STAGE, temperature=0.1), {**inputs, "model": speaker}, tmp_path / "out").read().to_pylist()
    written = {
        label: {c.split(" > ")[1] for r in rows if r["label"] == label for c in r["changes"]} for label in LABELS
    }
    assert written == {"good": {"soup"}, "bad": {"now"}}


def test_requests_under_different_labels_are_filled_side_by_side(tmp_path: Path) -> None:
    rewriter = Rewriter(speaks_by_label(tmp_path, good="soup", bad="now").path)
    sentence = rewriter.read("stir the cafe")
    found = rewriter.fill([Request(sentence, (0, 2), label) for label in ("bad", "good", "bad")])
    assert [[rewriter.vocabulary.word(word.id) for word in words] for words in found] == [
        ["now", "now"],
        ["soup", "soup"],
        ["now", "now"],
    ]


def test_a_text_without_a_word_is_an_error_row(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    errors = augment(STAGE, inputs, tmp_path).errors()
    assert errors is not None
    assert errors["item"].to_pylist() == ["r:10"]
    assert errors["reason"].to_pylist() == ["the text '?!' has no word to replace"]


def test_a_row_is_rewritten_alike_whatever_is_beside_it(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    whole = new(STAGE, inputs, tmp_path / "whole")
    fewer = {**inputs, "rows": labelled(tmp_path / "rows", n=6)}
    part = new(STAGE, fewer, tmp_path / "part")
    assert len({id_ for id_ in part if part[id_] == whole[id_]}) == len(part) == 12 - 3
    more = new(replace(STAGE, copies=5), inputs, tmp_path / "more")
    assert {id_: more[id_] for id_ in whole} == whole


def test_the_seed_makes_other_sentences(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    one, two = (new(replace(STAGE, seed=seed), inputs, tmp_path / str(seed)) for seed in (0, 1))
    assert one.keys() == two.keys()
    assert [r["text"] for r in one.values()] != [r["text"] for r in two.values()]
    copies = {id_.partition("+")[0]: set() for id_ in one}
    for id_, row in one.items():
        copies[id_.partition("+")[0]].add(row["text"])
    assert max(map(len, copies.values())) == 3


def test_the_reference_hides_fewer_words(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    ours, theirs = (new(replace(STAGE, faithful=f), inputs, tmp_path / str(f)) for f in (False, True))
    changed = [sum(len(r["changes"]) for r in rows.values()) for rows in (ours, theirs)]
    assert 0 < changed[1] < changed[0]


@pytest.mark.parametrize(("field", "published"), [("copies", 1), ("every", 7), ("temperature", 1.0)])
def test_the_defaults_are_the_reference_s(field: str, published: float) -> None:
    assert getattr(Augment(), field) == published


def test_an_unknown_label_and_another_model_are_said(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    with_other = {**inputs, "model": conditional(tmp_path / "other", ("bad", "fine"))}
    errors = augment(STAGE, with_other, tmp_path / "out").errors()
    assert errors is not None
    assert "the label 'good' is none of bad, fine" in errors["reason"].to_pylist()
    with pytest.raises(UserError, match="trained for ClassifyText, not ConditionalLM"):
        Rewriter(classifier(tmp_path / "classifier").path)


@pytest.mark.parametrize("fields", [{"copies": 0}, {"every": 0}, {"temperature": 0.0}])
def test_fields_out_of_range_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        Augment(**fields)
