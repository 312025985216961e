from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import natural_questions.eval_utils as official
import natural_questions.nq_eval as scorer
import pytest
from absl import flags

from models.task_file import load_task
from models.tasks import NaturalQuestions
from pipeline import Artifact, LocalExecutor, Store, run
from stages.predict import predict_file
from stages.text.read_natural_questions import ReadNaturalQuestions
from stages.train import Train
from tests.models.small_encoders import save_encoder
from tests.stages.text.small_pages import annotated, annotation, nq_page, simplified
from workflows.text import natural_questions

TASK = NaturalQuestions(max_tokens=20, stride=6, max_answer=4, null_share=0.3, yes_no=True)


def page(number: int, annotators: int) -> dict[str, Any]:
    """Three candidates; every fourth page has no answer, of the others two of six a YES or a long one.

    A short answer is "cafe soup", which stands nowhere else."""
    draw = random.Random(number)
    words = [draw.choices(("stir", "the", "soup", "now", "cut"), k=5) for _ in range(3)]
    kind = number % 8
    if kind % 4 and kind < 6:
        words[1][1:3] = ["cafe", "soup"]
    bare = nq_page(
        number - 12, "stir soup", [(t, " ".join(w)) for t, w in zip(("P", "Ul", "Table"), words, strict=True)]
    )
    if kind % 4 == 0:
        said = annotation(bare)
    elif kind < 6:
        said = annotation(bare, 1, [(12, 14)])
    else:
        said = annotation(bare, 0, yes_no="YES" if kind == 6 else "NONE")
    return annotated(bare, *[said] * annotators)


def without_candidates(number: int) -> dict[str, Any]:
    """Whatever annotators said, nothing on this page can be the answer."""
    return {**page(number, 5), "long_answer_candidates": [], "example_id": number}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nq")
    files = {
        "train.jsonl": [simplified(page(i, 1)) for i in range(40)] + [nq_page(99, "soup", [])],
        "dev.jsonl.gz": [page(i, 5) for i in range(40, 52)],
        "test.jsonl.gz": [page(i, 5) for i in range(52, 64)] + [without_candidates(99)],
    }
    for name, pages in files.items():
        text = "".join(json.dumps(p) + "\n" for p in pages).encode()
        (folder / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return folder


@pytest.fixture(scope="module")
def artifacts(folder: Path) -> dict[str, Artifact]:
    save_encoder(folder / "encoder", width=32)
    graph = natural_questions.graph(
        ReadNaturalQuestions(
            train=str(folder / "train.jsonl"), dev=str(folder / "dev.jsonl.gz"), test=str(folder / "test.jsonl.gz")
        ),
        encoder=str(folder / "encoder"),
        train=Train(task=TASK, steps=80, global_batch_size=16, learning_rate=5e-3, evaluate_every=80),
    )
    return run(graph, Store(folder / "store"), LocalExecutor())


def test_from_pages_to_figures(artifacts: dict[str, Artifact]) -> None:
    errors = artifacts["rows"].errors()
    assert errors is not None
    assert errors["item"].to_pylist() == ["train.jsonl:41", "test.jsonl.gz:13"]
    assert artifacts["evaluate-test"].rows() == 13
    dev, test = (artifacts[f"evaluate-{split}"].manifest["metrics"] for split in ("dev", "test"))
    for kind in ("long", "short"):
        assert dev[f"{kind}_f1"] == dev[f"{kind}_best_f1"] > 0.7, "the threshold is the dev split's best"
        assert test[f"{kind}_f1"] <= test[f"{kind}_best_f1"]
    assert test["short_best_f1"] > 0.6
    task = load_task(artifacts["train"].path)
    assert isinstance(task, NaturalQuestions)
    assert task.long_threshold is not None
    assert task.short_threshold is not None
    assert artifacts["evaluate-dev"].manifest["metrics"]["long_best_threshold"] == pytest.approx(
        task.long_threshold, abs=1e-4
    )


def test_the_official_scorer_reads_the_answers_and_finds_the_same(artifacts: dict[str, Artifact], folder: Path) -> None:
    flags.FLAGS.mark_as_parsed()
    golds = official.read_annotation_from_one_split(str(folder / "test.jsonl.gz"))
    answers = official.read_prediction_json(str(artifacts["answers"].path / "predictions.json"))
    expected = scorer.get_metrics_with_answer_stats(*scorer.score_answers(golds, answers))
    figures = artifacts["evaluate-test"].manifest["metrics"]
    for kind in ("long", "short"):
        assert figures[f"{kind}_best_f1"] == pytest.approx(expected[f"{kind}-best-threshold-f1"])
    assert artifacts["answers"].manifest["pages"] == 13


def test_predictions_are_one_a_page_and_say_where(artifacts: dict[str, Artifact]) -> None:
    rows = {r["id"]: r for r in artifacts["rows"].read().to_pylist() if r["split"] == "test"}
    found = artifacts["predictions"].read().to_pylist()
    assert [a["id"] for a in found] == list(rows)
    for answer in found:
        candidates = {(c["start"], c["end"]): c for c in rows[answer["id"]]["candidates"]}
        for span in answer["n_best"]:
            around = candidates[span["long_start"], span["long_end"]]
            words = dict(zip(around["tokens"], around["words"].split(" "), strict=True))
            assert span["text"] == " ".join(words[t] for t in range(span["start"], span["end"]))


def test_new_pages_are_lines_of_the_files(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    lines = [page(70, 0), {"example_id": 5}, simplified(page(71, 0))]
    (tmp_path / "pages.jsonl").write_text("".join(json.dumps(p) + "\n" for p in lines))
    predict_file(artifacts["train"].path, tmp_path / "pages.jsonl", tmp_path / "out.jsonl")
    answers = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [a.get("id") for a in answers] == ["58", None, "59"]
    assert answers[1] == {"error": "row 2: it has no question_text"}
    assert "document_tokens" not in answers[0]
    assert answers[0]["n_best"][0]["text"]


def test_training_is_as_in_the_paper() -> None:
    train = natural_questions.graph(ReadNaturalQuestions(train="train.jsonl"))["train"].stage
    assert isinstance(train, Train)
    published = (1, 8, 3e-5, 0.1, "bert_adam")
    assert (train.epochs, train.global_batch_size, train.learning_rate, train.warmup, train.optimizer) == published
