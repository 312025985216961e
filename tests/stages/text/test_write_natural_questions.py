from __future__ import annotations

import json
from pathlib import Path

import natural_questions.eval_utils as official

from pipeline import Artifact, LocalExecutor
from pipeline.graph import make
from stages.text.write_natural_questions import WriteNaturalQuestions
from tests.cases import artifact
from tests.stages.text.small_pages import answered_pages


def test_the_file_is_the_official_one(tmp_path: Path) -> None:
    out = Artifact(tmp_path / "out", "key")
    predictions = artifact(tmp_path / "predictions", answered_pages())
    make(WriteNaturalQuestions(), {"predictions": predictions}, out, LocalExecutor())
    path = out.path / "predictions.json"
    first, second, third = json.loads(path.read_text())["predictions"]
    bytes_ = {"start_byte": -1, "end_byte": -1}
    assert first == {
        "example_id": -7,
        "long_answer": {"start_token": 3, "end_token": 8, **bytes_},
        "long_answer_score": 1.5,
        "short_answers": [{"start_token": 5, "end_token": 6, **bytes_}],
        "short_answers_score": 1.5,
        "yes_no_answer": "NONE",
    }
    assert (second["example_id"], second["short_answers"], second["yes_no_answer"]) == (12, [], "YES")
    assert (third["example_id"], third["long_answer"]) == ("a", {"start_token": -1, "end_token": -1, **bytes_})
    labels = official.read_prediction_json(str(path))
    assert [labels[i].yes_no_answer for i in (-7, 12, "a")] == ["none", "yes", "none"]
    assert labels["a"].long_answer_span.is_null_span()


def test_an_empty_table_is_an_empty_list(tmp_path: Path) -> None:
    out = Artifact(tmp_path / "out", "key")
    predictions = artifact(tmp_path / "predictions", answered_pages().slice(0, 0))
    make(WriteNaturalQuestions(), {"predictions": predictions}, out, LocalExecutor())
    assert json.loads((out.path / "predictions.json").read_text()) == {"predictions": []}
