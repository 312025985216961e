from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.tasks import TagWords
from pipeline import Artifact, LocalExecutor, Store, run
from stages.predict import predict_file
from stages.train import Train
from tests.models.small_encoders import save_encoder
from workflows.text import ner

SENTENCES = ("stir O\nthe I-X\nsoup I-X\n", "now O\ncut I-Y\n", "cutting I-X\nsoup B-X\nnow O\n", "stir I-Y\nnow O\n")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """A tiny encoder trained for a few steps on documents of four sentences, two of them bad."""
    folder = tmp_path_factory.mktemp("ner")
    save_encoder(folder / "encoder", width=32)
    document = "-DOCSTART- O\n\n" + "\n".join(SENTENCES) + "\n"
    (folder / "train").write_text(document * 12 + "stir O\nnow\n\n" + "\u200b O\n")
    (folder / "dev").write_text(document * 2)
    (folder / "test").write_text(document + "-DOCSTART- O\n\nsoup I-new\nstir I-Y\n")
    graph = ner.graph(
        *(str(folder / split) for split in ("train", "dev", "test")),
        scheme="IOB1",
        encoder=str(folder / "encoder"),
        train=Train(
            task=TagWords(document_context=True, crf=True, max_tokens=12),
            steps=60,
            global_batch_size=16,
            learning_rate=1e-2,
            evaluate_every=30,
        ),
    )
    return run(graph, Store(folder / "store"), LocalExecutor(max_error_rate=0.1))


def test_from_column_files_to_figures(artifacts: dict[str, Artifact]) -> None:
    for name, item in (("rows", "train:194"), ("examples", "train:196, row 48 of its part")):
        errors = artifacts[name].errors()
        assert errors is not None
        assert errors["item"].to_pylist() == [item]
    assert artifacts["train"].manifest["fields"]["select_by"] == "f1"
    assert artifacts["evaluate-dev"].manifest["metrics"]["f1"] == 1.0
    figures = artifacts["evaluate-test"].manifest["metrics"]
    assert figures["f1"] < 1.0  # a tag that training never saw counts as missed
    assert set(figures) == {"precision", "recall", "f1", "accuracy"}


def test_the_best_model_is_chosen_where_there_is_something_to_choose_by() -> None:
    def select_by(**arguments: str) -> str | None:
        return ner.graph("train", **arguments)["train"].stage.select_by

    assert select_by() is None
    assert select_by(dev_file="dev") == "f1"
    assert select_by(dev_file="dev", scheme="none") == "accuracy"


def test_sentences_have_their_documents(artifacts: dict[str, Artifact]) -> None:
    examples = artifacts["examples"].read().to_pylist()
    assert {len(e["input_ids"]) for e in examples if e["split"] == "dev"} == {12}


def test_predictions_are_words_with_tags(artifacts: dict[str, Artifact]) -> None:
    answers = artifacts["predictions"].read().to_pylist()
    assert len(answers) == 5
    assert answers[0]["tagged"][1:] == [{"word": "the", "tag": "B-X"}, {"word": "soup", "tag": "I-X"}]
    assert answers[0]["spans"] == [{"label": "X", "text": "the soup", "start": 1, "end": 3}]


def test_new_rows_are_answered(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    rows = [{"text": "stir the soup", "id": 7}, {"words": ["now", "cut"] * 9}, {"words": "now"}, {"id": "x"}]
    rows.append({"words": ["a"], "tags": 5})
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    predict_file(artifacts["train"].path, tmp_path / "rows.jsonl", tmp_path / "out.jsonl")
    answers = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [s["text"] for s in answers[0]["spans"]] == ["the soup"]
    assert len(answers[1]["tagged"]) == 18  # in several examples
    assert answers[2] == {"error": "row 3: words must be a list of texts, or text be one"}
    assert answers[3] == {"error": "row 4: it lacks the column 'text'"}
    assert answers[4]["error"].startswith("row 5: TypeError")
