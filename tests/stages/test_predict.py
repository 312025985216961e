from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.tasks import VideoText
from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.evaluate import Evaluate
from stages.predict import Predict, predict_file
from stages.train import Train
from tests.stages.tiny_world import examples, extended_bert

TASK = VideoText(text_weight=0, video_weight=0, concatenate=0, mask_probability=0.4)
Inputs = dict[str, Artifact]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """A tiny model trained long enough to know which verb a visual word means."""
    folder = tmp_path_factory.mktemp("world")
    start = extended_bert(folder / "start")
    encoded = examples(folder, start, videos=60)
    model = Artifact(folder / "trained", "trained")
    stage = Train(task=TASK, steps=600, global_batch_size=32, learning_rate=3e-3, evaluate_every=600)
    make(stage, {"model": start, "examples": encoded}, model, LocalExecutor())
    return {"model": model, "examples": encoded}


def answers(model: Artifact, rows: list[dict], folder: Path) -> list[dict]:
    (folder / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    predict_file(model.path, folder / "rows.jsonl", folder / "out.jsonl")
    return [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]


def test_a_trained_model_fills_masks_by_what_it_sees(inputs: Inputs, tmp_path: Path) -> None:
    rows = [{"text": "[MASK] the soup", "tokens": [t] * 3} for t in range(4)]
    found = [a["masks"][0][0]["word"] for a in answers(inputs["model"], rows, tmp_path)]
    assert found == ["stir", "cut", "cafe", "now"]


def test_answers_keep_the_rows_and_their_order(inputs: Inputs, tmp_path: Path) -> None:
    rows = [{"id": i, "text": "stir " * (7 - i), "tokens": [0]} for i in range(5)]
    found = answers(inputs["model"], rows, tmp_path)
    assert [a["id"] for a in found] == [0, 1, 2, 3, 4]
    assert all(0 <= a["aligned_probability"] <= 1 for a in found)


def test_a_refused_row_gets_a_line_with_the_reason(inputs: Inputs, tmp_path: Path) -> None:
    found = answers(inputs["model"], [{"text": "stir"}, {"text": ""}, {"text": "cut"}], tmp_path)
    assert found[1] == {"error": "row 2: neither words nor visual words"}
    assert len(found) == 3


def test_csv_rows(inputs: Inputs, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("video_id,text\na,[MASK] the soup\n")
    predict_file(inputs["model"].path, tmp_path / "rows.csv", tmp_path / "out.jsonl")
    (answer,) = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert answer["video_id"] == "a"
    assert len(answer["masks"][0]) == 5


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rows.jsonl", '{"text": "a"}\n{oops\n', "rows.jsonl:2: not JSON"),
        ("rows.jsonl", '["a"]\n', "rows.jsonl:1: a row is an object"),
        ("rows.docx", "a", "give rows as"),
    ],
)
def test_files_that_cannot_be_read(inputs: Inputs, tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        predict_file(inputs["model"].path, tmp_path / name, None)


def test_a_directory_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match=r"neither a trained model nor a task's examples \(it has no task.json\)"):
        predict_file(tmp_path, tmp_path / "rows.jsonl", None)


def test_predictions_are_a_row_an_example_of_the_split(inputs: Inputs, tmp_path: Path) -> None:
    out = Artifact(tmp_path / "out", "out")
    make(Predict(task=TASK), inputs, out, LocalExecutor())
    splits = inputs["examples"].read(["split"])["split"].to_pylist()
    assert out.rows() == splits.count("test")
    assert out.read()["aligned_probability"].null_count == 0


def test_figures_of_a_split_are_the_same_in_file_and_manifest(inputs: Inputs, tmp_path: Path) -> None:
    out = Artifact(tmp_path / "out", "out")
    make(Evaluate(task=TASK), inputs, out, LocalExecutor(workers=2))
    figures = out.manifest["metrics"]
    assert json.loads((out.path / "metrics.json").read_text()) == figures
    assert figures["joint/word_accuracy"] > 0.5
    again = Artifact(tmp_path / "again", "again")
    make(Evaluate(task=TASK), inputs, again, LocalExecutor())
    assert again.manifest["metrics"] == pytest.approx(figures, rel=1e-3)
