"""The template, and with it what every text recipe shares, from files to figures and answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from models.encoder import TaskModel
from models.task_file import load_task
from models.vocabulary import Vocabulary
from pipeline import Artifact, LocalExecutor, Store, UserError, run
from stages.predict import predict_file
from stages.train import Train
from tests.models.small_encoders import save_encoder
from workflows.text import forkme
from workflows.text.finetune import report, spread

TRAIN = Train(task=forkme.LabelSentences(), steps=60, global_batch_size=16, learning_rate=3e-3)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """Two seeds on sentences whose first word says the label; no dev split."""
    folder = tmp_path_factory.mktemp("forkme")
    save_encoder(folder / "encoder")
    lines = [f"{word} the soup {i}\t{label}" for i in range(8) for word, label in (("stir", "S"), ("cut", "C"))]
    text = "sentence\tlabel\n" + "\n".join([*lines, "no tab here"]) + "\n"
    (folder / "train.tsv").write_bytes(text.encode() + b"stir \xff\tS\n")
    (folder / "test.tsv").write_text("sentence\tlabel\nstir it\tS\ncut it\tC\ncut it now\tunseen\n")
    graph = forkme.graph(str(folder), encoder=str(folder / "encoder"), seeds=2, train=TRAIN)
    return run(graph, Store(folder / "store"), LocalExecutor())


def test_the_labels_are_learned_once_and_known_everywhere(artifacts: dict[str, Artifact]) -> None:
    for node in ("examples", "train-0", "train-1"):
        assert load_task(artifacts[node].path).labels == ("C", "S")


def test_a_label_unseen_in_training_counts_as_wrong(artifacts: dict[str, Artifact]) -> None:
    for seed in (0, 1):
        assert artifacts[f"evaluate-test-{seed}"].manifest["metrics"] == {"accuracy": pytest.approx(2 / 3)}
        labels = artifacts[f"predictions-{seed}"].read().to_pylist()
        assert [(row["id"], row["predicted"]) for row in labels][:2] == [("test.tsv:2", "S"), ("test.tsv:3", "C")]


def test_a_split_without_rows_has_no_figures(artifacts: dict[str, Artifact]) -> None:
    assert artifacts["evaluate-dev-0"].manifest["metrics"] == {}


def test_a_bad_line_is_an_error_row_with_file_and_line(artifacts: dict[str, Artifact]) -> None:
    errors = artifacts["rows"].errors()
    assert errors is not None
    assert [(e["item"], e["reason"]) for e in errors.to_pylist()] == [
        ("train.tsv:18", "expected a sentence, a tab and a label"),
        ("train.tsv:19", "save the file as UTF-8"),
    ]


def test_the_report_has_mean_and_spread(artifacts: dict[str, Artifact], capsys: pytest.CaptureFixture[str]) -> None:
    report(artifacts)
    shown = " ".join(capsys.readouterr().err.split())
    assert "mean ± standard deviation of 2 seeds" in shown
    assert "figure test accuracy 0.6667 ± 0.0000" in shown
    assert str(artifacts["predictions-1"].path) in shown


def test_spread_is_the_samples() -> None:
    assert spread([]) == ""
    assert spread([0.5]) == "0.5000"
    assert spread([0.25, 0.75]) == "0.5000 ± 0.3536"  # sqrt((0.0625 + 0.0625) / (2 - 1))


def test_new_rows_get_a_label_and_bad_ones_a_reason(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "cut the leek"}\n{"text": " "}\n{"words": "stir"}\n')
    predict_file(artifacts["train-1"].path, tmp_path / "rows.jsonl", tmp_path / "out.jsonl")
    good, empty, without = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert (good["text"], good["predicted"]) == ("cut the leek", "C")
    assert 0.5 < good["probability"] <= 1
    assert empty["error"] == "row 2: the text ' ' has no wordpiece"
    assert without["error"] == "row 3: it lacks the column 'text'"


@pytest.mark.parametrize("kind", ["distilbert", "electra"])
def test_encoders_without_a_pooler_and_texts_with_special_tokens(tmp_path: Path, kind: str) -> None:
    save_encoder(tmp_path, kind)
    tokenizer, task = AutoTokenizer.from_pretrained(tmp_path), forkme.LabelSentences(labels=("C", "S"))
    (example,) = task.encode({"text": "stir [SEP]", "label": "S"}, tokenizer)
    assert example["input_ids"].count(tokenizer.sep_token_id) == 1
    example = {name: np.asarray(value) if isinstance(value, list) else value for name, value in example.items()}
    vocabulary = Vocabulary.of(tokenizer)
    batch = task.collate([example], vocabulary)
    model = TaskModel.start(tmp_path, task, seed=0)
    (answer,) = task.predict(model.head, model(batch), batch, vocabulary)
    assert answer["predicted"] in ("C", "S")


def test_the_folder_s_spelling_is_not_part_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trec").mkdir()
    (tmp_path / "trec" / "train.tsv").touch()
    monkeypatch.chdir(tmp_path)
    spellings = ("trec", "./trec/", str(tmp_path / "trec"))
    assert len({forkme.ReadLabelledLines(folder=folder).key({}) for folder in spellings}) == 1


def test_missing_files_are_said_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        forkme.graph(str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"train\.tsv: no such file"):
        forkme.graph(str(tmp_path))["rows"].stage.key({})
