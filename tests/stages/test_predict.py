from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.tasks import TagWords, VideoText
from pipeline import Artifact, LocalExecutor, Rejected, UserError
from pipeline.graph import make
from stages.evaluate import Evaluate
from stages.predict import Predict, _documents, _in_context, predict_file
from stages.text.tables import Line
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


def test_half_a_character_costs_its_row_alone(inputs: Inputs, tmp_path: Path) -> None:
    """Also in a column that the task does not read."""
    rows = [{"text": "stir"}, {"text": "stir \ud83d"}, {"text": "cut", "note": ["\udc00"]}, {"text": "cut \U0001f600"}]
    found = answers(inputs["model"], rows, tmp_path)
    assert [a.get("error") for a in found] == [
        None,
        "row 2: a text has half a character, \\ud83d (a lone surrogate): write it whole",
        "row 3: a text has half a character, \\udc00 (a lone surrogate): write it whole",
        None,
    ]
    assert found[3]["text"] == "cut \U0001f600"
    (tmp_path / "rows.csv").write_bytes(b"text,n\xf6te\nstir,a\nstir\n")
    with pytest.raises(UserError, match=r"rows\.csv: its header is not UTF-8"):
        predict_file(inputs["model"].path, tmp_path / "rows.csv", tmp_path / "out.jsonl")


def test_rows_are_read_as_they_are_answered() -> None:
    """No further ahead than a document goes on, where a task looks around in it."""
    read: list[str] = []

    def lines(documents: str) -> Iterator[Line | Rejected]:
        for number, document in enumerate(documents):
            read.append(document)
            cells = {"id": number, "words": [f"w{number}"], "document": None if document == "-" else document}
            yield Rejected(str(number), "bad") if document == "!" else Line(str(number), cells)

    tokenizer: Any = lambda words, **_: {"input_ids": [[1]] * len(words)}  # noqa: E731
    for task, ahead in ((TagWords(document_context=True), "aaa!ab"), (TagWords(), "a")):
        read.clear()
        rows = _in_context(task, lines("aaa!abb--"), tokenizer)
        next(rows)
        assert "".join(read) == ahead
        assert "".join(str(row.cells["id"]) if isinstance(row, Line) else "!" for row, _ in rows) == "12!45678"
    groups = [len(together) for together in _documents(lines("aa!ab--!b!"))]
    assert groups == [4, 1, 1, 1, 1, 2]


def test_csv_rows(inputs: Inputs, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("video_id,text\na,[MASK] the soup\n")
    predict_file(inputs["model"].path, tmp_path / "rows.csv", tmp_path / "out.jsonl")
    (answer,) = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert answer["video_id"] == "a"
    assert len(answer["masks"][0]) == 5


def test_rows_are_lines_and_what_stands_in_quotes_stays_as_it_is(inputs: Inputs, tmp_path: Path) -> None:
    """In .tsv a quote is a quote; U+2028 ends no line."""
    tsv = 'video_id\ttext\n1\t"stir the soup\n2\tcut"\n3\n4\tstir\n'
    jsonl = '{"text": "stir\u2028the soup"}\n{oops\n["stir"]\n{"text": "cut"}\n'
    found = {}
    for name, text in (("rows.tsv", tsv), ("rows.jsonl", jsonl)):
        (tmp_path / name).write_text(text, encoding="utf-8")
        predict_file(inputs["model"].path, tmp_path / name, tmp_path / "out.jsonl")
        found[name] = [
            json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
        ]
    assert [row.get("text") for row in found["rows.tsv"]] == ['"stir the soup', 'cut"', None, "stir"]
    assert found["rows.tsv"][0]["video_id"] == "1"
    assert found["rows.tsv"][2] == {"error": "row 3: 1 columns instead of 2 (video_id, text)"}
    assert [row.get("text") for row in found["rows.jsonl"]] == ["stir\u2028the soup", None, None, "cut"]
    assert found["rows.jsonl"][1]["error"].startswith("row 2: not JSON")
    assert found["rows.jsonl"][2]["error"].startswith("row 3: not a row")


@pytest.mark.parametrize(
    "row",
    [
        {"text": 5},
        {"text": ["stir"]},
        {"text": "stir", "tokens": 5},
        {"text": "stir", "tokens": ["stir"]},
        {"text": "stir", "tokens": [0], "video_id": 7},
    ],
)
def test_a_row_of_other_types_costs_itself_alone(inputs: Inputs, tmp_path: Path, row: dict) -> None:
    found = answers(inputs["model"], [{"text": "stir", "tokens": [0]}, row, {"text": "cut", "tokens": [0]}], tmp_path)
    assert [("error" in answer) for answer in found] == [False, True, False]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rows.docx", "a", "rows.docx: give a table as"),
        ("rows.parquet", "a", "rows.parquet: cannot be read as parquet"),
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
