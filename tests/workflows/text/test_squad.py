from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.task_file import load_task
from models.tasks import SpanQA
from pipeline import Artifact, LocalExecutor, Store, run
from stages.predict import predict_file
from stages.text.read_squad import ReadSquad
from stages.train import Train
from tests.models.small_encoders import save_encoder
from tests.stages.text.small_squad import write_articles
from workflows.text import squad

TASK = SpanQA(max_tokens=14, stride=4, max_answer=3, unanswerable=True)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """A tiny encoder trained on one file, split by article."""
    folder = tmp_path_factory.mktemp("squad")
    save_encoder(folder / "encoder", width=32)
    graph = squad.graph(
        ReadSquad(train=write_articles(folder / "all.json", articles=12), dev_articles=2, test_articles=2),
        encoder=str(folder / "encoder"),
        train=Train(task=TASK, steps=100, global_batch_size=16, learning_rate=3e-3, evaluate_every=100),
    )
    return run(graph, Store(folder / "store"), LocalExecutor())


def test_from_a_file_to_figures(artifacts: dict[str, Artifact]) -> None:
    errors = artifacts["rows"].errors()
    assert errors is not None
    assert errors["item"].to_pylist() == ["all.json: data[0].paragraphs[1].qas[0]"]
    examples = artifacts["examples"].read()
    assert max(examples["window"].to_pylist()) > 0
    for split in ("dev", "test"):
        figures = artifacts[f"evaluate-{split}"].manifest["metrics"]
        assert figures["f1"] > 0.6  # a quarter of the questions have no answer
        assert figures["exact"] <= figures["f1"] <= figures["best_f1"]
        results = artifacts[f"evaluate-{split}"].rows()
        assert results == 8  # a row a question, however many windows it has


def test_the_model_knows_the_threshold_that_is_best_on_dev(artifacts: dict[str, Artifact]) -> None:
    task = load_task(artifacts["train"].path)
    assert isinstance(task, SpanQA)
    figures = artifacts["evaluate-dev"].manifest["metrics"]
    assert task.null_threshold == pytest.approx(figures["best_f1_threshold"], abs=1e-4)
    assert figures["f1"] == pytest.approx(figures["best_f1"])


def test_predictions_are_one_a_question(artifacts: dict[str, Artifact]) -> None:
    rows = {r["id"]: r for r in artifacts["rows"].read().to_pylist() if r["split"] == "test"}
    answers = artifacts["predictions"].read().to_pylist()
    assert [a["id"] for a in answers] == list(rows)
    for answer in answers:
        context = rows[answer["id"]]["context"]
        if answer["answer"]:
            assert context[answer["start"] : answer["end"]] == answer["answer"]
        else:
            assert (answer["start"], answer["end"]) == (None, None)
        assert all(context[s["start"] : s["end"]] == s["text"] for s in answer["n_best"])


def test_new_questions_get_one_answer_each(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    rows = [{"question": "stir", "context": "now cut soup " * n} for n in (1, 9, 0, 5)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    predict_file(artifacts["train"].path, tmp_path / "rows.jsonl", tmp_path / "out.jsonl")
    answers = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(answers) == 4
    assert answers[2] == {"error": "row 3: the context is empty"}
    assert all(a["context"][s["start"] : s["end"]] == s["text"] for a in answers if "n_best" in a for s in a["n_best"])
