from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.tasks import JudgeAspects
from models.tasks.aspect_sentiment import Form
from pipeline import Artifact, LocalExecutor, Store, UserError, run
from stages.predict import predict_file
from stages.train import Train
from tests.models.small_encoders import save_encoder
from workflows.text import absa

WORDS = {"Positive": "soup", "Negative": "cut"}


def sentences(n: int) -> list[dict[str, Any]]:
    """Every second one judges all there is to judge, by one of two words."""
    made = []
    for i in range(n):
        opinion = ("Positive", "Negative")[i // 2 % 2]
        text = "LOCATION1" + 12 * f" {WORDS[opinion] if i % 2 else 'stir'}"
        aspects = ("general", "price", "transit-location", "safety") if i % 2 else ()
        opinions = [{"target_entity": "LOCATION1", "aspect": aspect, "sentiment": opinion} for aspect in aspects]
        made.append({"id": i, "text": text, "opinions": opinions})
    return made


def train(folder: Path, form: Form, *files: str, steps: int, **arguments: Any) -> dict[str, Artifact]:
    save_encoder(folder / "encoder", width=32)
    training = Train(
        task=JudgeAspects(form=form), steps=steps, global_batch_size=32, learning_rate=3e-3, evaluate_every=steps // 2
    )
    graph = absa.graph(*files, encoder=str(folder / "encoder"), train=training, **arguments)
    return run(graph, Store(folder / "store"), LocalExecutor(max_error_rate=0.1))


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """A tiny encoder trained for a few steps, with an example a label; one sentence is bad."""
    folder = tmp_path_factory.mktemp("absa")
    for split, data in (("train", [*sentences(40), {"id": 40}]), ("dev", sentences(8)), ("test", sentences(8))):
        (folder / split).write_text(json.dumps(data))
    return train(folder, "NLI-B", *(str(folder / s) for s in ("train", "dev", "test")), steps=8)


def test_from_sentihood_to_its_figures(artifacts: dict[str, Artifact]) -> None:
    errors = artifacts["rows"].errors()
    assert errors is not None
    assert errors["item"].to_pylist() == ["train, sentence 41"]
    assert artifacts["rows"].rows() == 56 * 4
    assert artifacts["examples"].rows() == 56 * 4 * 3
    figures = artifacts["evaluate-test"].manifest["metrics"]
    assert list(figures) == [
        "aspect_strict_accuracy",
        "aspect_macro_f1",
        "aspect_macro_auc",
        "sentiment_accuracy",
        "sentiment_macro_auc",
    ]
    assert artifacts["train"].manifest["metrics"].keys() >= figures.keys()  # in training too, from rows and not labels
    assert artifacts["evaluate-test"].rows() == artifacts["predictions"].rows() == 8 * 4


def test_a_model_learns_which_texts_judge(tmp_path: Path) -> None:
    for split, n in (("train", 40), ("dev", 8), ("test", 8)):
        (tmp_path / split).write_text(json.dumps(sentences(n)))
    artifacts = train(tmp_path, "NLI-M", *(str(tmp_path / s) for s in ("train", "dev", "test")), steps=100)
    figures = artifacts["evaluate-test"].manifest["metrics"]
    assert figures["aspect_macro_f1"] > 0.9  # 0 of who says "None" to all
    assert figures["aspect_strict_accuracy"] >= 0.75  # 0.5


def test_the_best_model_is_chosen_where_there_is_something_to_choose_by() -> None:
    def chosen(train_file: str, **arguments: Any) -> tuple[str | None, float]:
        graph = absa.graph(train_file, **arguments)
        return graph["train"].stage.select_by, getattr(graph["rows"].stage, "dev_fraction", 0.0)

    assert chosen("a.xml") == (None, 0.0)  # as published: four epochs on all sentences
    assert chosen("a.xml", dev_fraction=0.1) == ("aspect_f1", 0.1)
    assert chosen("a.json") == (None, 0.0)
    assert chosen("a.json", dev_file="b.json") == ("aspect_strict_accuracy", 0.0)
    with pytest.raises(UserError, match="dev_fraction is for SemEval"):
        absa.graph("a.json", dev_fraction=0.1)


def test_new_rows_are_answered(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    row = {"text": "location - 1 the soup", "target": "location - 1", "aspect": "price"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({**row, "aspect": ""}) + "\n")
    predict_file(artifacts["train"].path, tmp_path / "rows.jsonl", tmp_path / "out.jsonl")
    answer, error = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert answer["predicted"] in ("Positive", "Negative", "None")
    assert answer["probabilities"][0]["label"] == answer["predicted"]
    assert error == {"error": "row 2: the aspect is empty"}


def test_from_semeval_to_its_figures(tmp_path: Path) -> None:
    made = [
        f'<sentence id="{i}"><text>{WORDS[("Positive", "Negative")[i % 2]]}</text><aspectCategories>'
        f'<aspectCategory category="food" polarity="{("positive", "negative")[i % 2]}"/></aspectCategories></sentence>'
        for i in range(40)
    ]
    for split, part in (("train", made), ("test", made[:6])):
        (tmp_path / f"{split}.xml").write_text(f"<sentences>{''.join(part)}</sentences>")
    files = str(tmp_path / "train.xml"), None, str(tmp_path / "test.xml")
    artifacts = train(tmp_path, "QA-M", *files, steps=4, dev_fraction=0.1)
    splits = artifacts["rows"].read()["split"].to_pylist()
    assert 0 < splits.count("dev") < splits.count("train")
    figures = artifacts["evaluate-test"].manifest["metrics"]
    assert set(figures) == {
        *("aspect_precision", "aspect_recall", "aspect_f1"),
        *("sentiment_accuracy_4", "sentiment_accuracy_3", "sentiment_accuracy_2"),
    }
