from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.tasks import ClassifyText, ScoreText
from pipeline import Artifact, LocalExecutor, Store, run
from stages.predict import predict_file
from stages.text.read_glue import Name
from stages.text.read_table import ReadTable
from stages.train import Train
from tests.models.small_encoders import save_encoder
from workflows.text import classify, glue

VERBS = ("stir", "cut")


def train(task: ClassifyText | ScoreText, epochs: float) -> Train:
    settings = {"learning_rate": 5e-3, "precision": "float32", "evaluate_every": 1000}
    return Train(task=task, epochs=epochs, global_batch_size=8, **settings)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """Sentences whose verb is their label."""
    folder = tmp_path_factory.mktemp("classify")
    save_encoder(folder / "encoder", width=32)
    lines = [f"{VERBS[i % 2]} the soup\t{VERBS[i % 2]}" for i in range(40)]
    (folder / "train.tsv").write_text("\n".join(["sentence\tlabel", *lines, "no label here", ""]))
    (folder / "dev.tsv").write_text("\n".join(["sentence\tlabel", *lines[:6], ""]))
    (folder / "test.tsv").write_text("\n".join(["sentence\tlabel", *lines[:9], "fry it\tfry", ""]))
    table = ReadTable(**{s: f"{folder}/{s}.tsv" for s in ("train", "dev", "test")}, text="sentence")
    graph = classify.graph(table, str(folder / "encoder"), train=train(ClassifyText(), 12), seeds=2)
    return run(graph, Store(folder / "store"), LocalExecutor())


def test_from_tables_to_figures(artifacts: dict[str, Artifact], capsys: pytest.CaptureFixture[str]) -> None:
    assert artifacts["rows"].errors()["item"].to_pylist() == ["train.tsv:42"]
    for seed in range(2):
        assert artifacts[f"evaluate-dev-{seed}"].manifest["metrics"]["accuracy"] == 1
        assert artifacts[f"evaluate-test-{seed}"].manifest["metrics"]["accuracy"] == 0.9  # "fry" was never seen
    classify.report(artifacts)
    assert "0.9000 ± 0.0000" in capsys.readouterr().err


def test_every_test_row_has_an_answer(artifacts: dict[str, Artifact]) -> None:
    answers = artifacts["predictions-0"].read().to_pylist()
    assert [a["id"] for a in answers] == [f"test.tsv:{i}" for i in range(2, 12)]
    assert [a["predicted"] for a in answers[:4]] == ["stir", "cut", "stir", "cut"]


def test_new_rows_get_labels_with_probabilities(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(
        '{"text": "cut the soup", "label": "old"}\n{"text": " "}\n{"words": "x"}\n{"text": "stir", "label": 1}\n'
    )
    predict_file(artifacts["train-0"].path, tmp_path / "rows.jsonl", tmp_path / "out.jsonl")
    first, empty, other, numbered = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert (first["text"], first["label"], first["predicted"]) == ("cut the soup", "old", "cut")
    assert [p["label"] for p in first["probabilities"]] == ["cut", "stir"]
    assert "no wordpiece" in empty["error"]
    assert "'text'" in other["error"]
    assert (numbered["label"], numbered["predicted"]) == (1, "stir")


def test_regression_of_glue_from_its_own_files(tmp_path: Path) -> None:
    save_encoder(tmp_path / "encoder", width=32)
    header = "\t".join(["index", "genre", "filename", "year", "old_index", "source1", "source2"])
    lines = [f"{i}\tg\tf\t2012\t1\tn\tn\tstir {i % 5}\tcut\t{i % 5}.000" for i in range(30)]
    for split, n in (("train", 30), ("dev", 10)):
        rows = [f"{header}\tsentence1\tsentence2\tscore", *lines[:n]]
        (tmp_path / f"{split}.tsv").write_text("\n".join([*rows, ""]))
    (tmp_path / "test.tsv").write_text(f"{header}\tsentence1\tsentence2\n" + lines[0].rpartition("\t")[0] + "\n")
    graph = glue.graph(str(tmp_path), "stsb", str(tmp_path / "encoder"), train=train(ScoreText(), 2))
    artifacts = run(graph, Store(tmp_path / "store"), LocalExecutor())
    assert artifacts["evaluate-dev"].manifest["metrics"].keys() == {"pearson", "spearman"}
    assert artifacts["evaluate-test"].manifest["metrics"] == {}
    assert artifacts["predictions"].read()["id"].to_pylist() == ["test.tsv:2"]


def test_every_run_has_a_seed_of_its_own() -> None:
    table = ReadTable(train="train.tsv", text="sentence")
    graph = classify.graph(table, "encoder", train=train(ClassifyText(), 1), seeds=2)
    assert [graph[f"train-{i}"].stage.seed for i in range(2)] == [0, 1]


@pytest.mark.parametrize(
    ("name", "labels", "figures"),
    [
        ("cola", ("0", "1"), {"matthews"}),
        ("sst2", ("0", "1"), {"accuracy"}),
        ("mrpc", ("0", "1"), {"accuracy", "f1"}),
        ("stsb", (), {"pearson", "spearman"}),
        ("qqp", ("0", "1"), {"accuracy", "f1"}),
        ("mnli", ("contradiction", "entailment", "neutral"), {"accuracy"}),
        ("qnli", ("entailment", "not_entailment"), {"accuracy"}),
        ("rte", ("entailment", "not_entailment"), {"accuracy"}),
        ("wnli", ("0", "1"), {"accuracy"}),
    ],
)
def test_the_tasks_of_glue_have_their_labels_and_figures(
    name: Name, labels: tuple[str, ...], figures: set[str]
) -> None:
    """Accuracy and macro F1 stand beside every classification's figures."""
    task = glue.glue_task(name)
    assert getattr(task, "labels", ()) == labels
    gold, predicted = (labels[-1], labels[0]) if labels else ("2.5", 2.0)
    measured = task.metrics([{"gold": gold, "predicted": predicted}])
    assert measured.keys() == figures | ({"accuracy", "macro_f1"} if labels else set())


def test_mnli_is_also_measured_on_other_genres() -> None:
    graph = glue.graph("anywhere", "mnli", seeds=2)
    assert {"evaluate-dev_mismatched-1", "evaluate-test_mismatched-1"} <= set(graph)
    assert [graph[f"predictions{x}-1"].stage.split for x in ("", "_mismatched")] == ["test", "test_mismatched"]
