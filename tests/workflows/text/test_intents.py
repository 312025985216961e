from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.tasks import LabelUtterances
from pipeline import Artifact, LocalExecutor, Store, run
from stages.predict import predict_file
from stages.train import Train
from tests.models.small_encoders import save_encoder
from workflows.text import intents

UTTERANCES = (("stir the soup", "O O B-dish", "stir"), ("cut now", "O B-time", "cut"), ("soup", "B-dish", "stir"))
BAD = (("stir", "O O", "stir"), ("\u200b", "O", "stir"))


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """A tiny encoder trained for a few steps on utterances, two of them bad, with new labels in the test split."""
    folder = tmp_path_factory.mktemp("intents")
    save_encoder(folder / "encoder", width=32)
    splits = {"train": UTTERANCES * 12 + BAD, "dev": UTTERANCES, "test": (*UTTERANCES, ("soup now", "B-new O", "eat"))}
    for split, utterances in splits.items():
        (folder / "data" / split).mkdir(parents=True)
        for name, lines in zip(("seq.in", "seq.out", "label"), zip(*utterances, strict=True), strict=True):
            (folder / "data" / split / name).write_text("".join(f"{line}\n" for line in lines))
    graph = intents.graph(
        folder=str(folder / "data"),
        encoder=str(folder / "encoder"),
        train=Train(task=LabelUtterances(), steps=60, global_batch_size=16, learning_rate=1e-2, evaluate_every=30),
    )
    return run(graph, Store(folder / "store"), LocalExecutor(max_error_rate=0.1))


def test_from_folders_to_figures(artifacts: dict[str, Artifact]) -> None:
    for name, item in (("rows", "train/seq.in:37"), ("examples", "train/seq.in:38, row 36 of its part")):
        errors = artifacts[name].errors()
        assert errors is not None
        assert errors["item"].to_pylist() == [item]
    dev = artifacts["evaluate-dev"].manifest["metrics"]
    assert (dev["intent_accuracy"], dev["slot_f1"], dev["exact_match"]) == (1.0, 1.0, 1.0)
    test = artifacts["evaluate-test"].manifest["metrics"]
    assert (test["intent_accuracy"], test["exact_match"]) == (0.75, 0.75)
    assert test["slot_recall"] <= 0.75


def test_the_best_model_is_chosen_where_there_is_something_to_choose_by() -> None:
    assert intents.graph("data")["train"].stage.select_by == "exact_match"
    without = intents.graph("data", dev=None)
    assert (without["train"].stage.select_by, without["rows"].stage.dev) == (None, None)


def test_new_rows_are_answered(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    rows = [{"text": "cut now"}, {"words": ["stir", "the", "soup"]}, {"text": ""}, {"text": "cut now", "intent": 3}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    predict_file(artifacts["train"].path, tmp_path / "rows.jsonl", tmp_path / "out.jsonl")
    answers = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert (answers[0]["predicted_intent"], answers[0]["slots"]) == ("cut", [{"slot": "time", "text": "now"}])
    assert answers[0]["tagged"] == [{"word": "cut", "tag": "O"}, {"word": "now", "tag": "B-time"}]
    assert answers[1]["predicted_intent"] == "stir"
    assert answers[2] == {"error": "row 3: the text is empty"}
    assert answers[3] == {**answers[0], "intent": 3}  # what a row says stays beside the answer
