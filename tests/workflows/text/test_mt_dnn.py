from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from models.tasks import ClassifyPairs, ClassifyText, MultiTask, RankCandidates, ScoreText
from pipeline import Artifact, LocalExecutor, Store, UserError, run
from stages.encode import Encode
from stages.predict import predict_file
from tests.models.small_encoders import save_encoder
from workflows.text import mt_dnn
from workflows.text.mt_dnn import single_task

TRAIN = replace(mt_dnn.TRAIN, epochs=2, global_batch_size=8, precision="float32", evaluate_every=1000)


def write_glue(folder: Path) -> None:
    """40 rows of SST-2, 24 of RTE, and 8 questions of QNLI with two candidates each."""
    rows = {
        "SST-2": ["sentence\tlabel", *(f"{('stir', 'cut')[i % 2]} the soup {i}\t{i % 2}" for i in range(40))],
        "RTE": [
            "index\tsentence1\tsentence2\tlabel",
            *(f"{i}\tstir {i}\tsoup\t{('entailment', 'not_entailment')[i % 2]}" for i in range(24)),
        ],
        "QNLI": [
            "index\tquestion\tsentence\tlabel",
            *(f"{i}\tcut {i % 8}\tsoup {i}\t{('entailment', 'not_entailment')[i // 8]}" for i in range(16)),
        ],
    }
    for name, lines in rows.items():
        (folder / name).mkdir(parents=True)
        for split, n in (("train", len(lines)), ("dev", 9 if name != "QNLI" else len(lines))):
            (folder / name / f"{split}.tsv").write_text("\n".join([*lines[:n], ""]))
    with (folder / "RTE/train.tsv").open("a") as file:
        file.write("24\tonly one text\tentailment\n")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    folder = tmp_path_factory.mktemp("mt_dnn")
    save_encoder(folder / "encoder", width=32)
    write_glue(folder / "glue")
    graph = mt_dnn.graph(
        str(folder / "glue"),
        ("sst2", "rte", "qnli"),
        encoder=str(folder / "encoder"),
        rank_qnli=True,
        ratios={"sst2": 0.6},
        train=TRAIN,
        tune=replace(TRAIN, steps=2),
        alone=True,
    )
    return run(graph, Store(folder / "store"), LocalExecutor())


def test_every_epoch_has_the_mini_batches_of_all_tasks(artifacts: dict[str, Artifact]) -> None:
    curve = artifacts["train"].path / "loss.parquet"
    rows = [r for r in pq.read_table(curve).to_pylist() if r["split"] == "train" and "/" in r["name"]]
    assert len({r["step"] for r in rows}) == len(rows)  # a step is on one task
    epochs = [Counter(r["name"] for r in rows if (r["step"] - 1) // 7 == epoch) for epoch in range(2)]
    # Batches of 8: of 0.6 * 40, 24 and 8 examples.
    assert epochs == [{"sst2/loss": 3, "rte/loss": 3, "qnli/loss": 1}] * 2
    order = [[r["name"] for r in rows if (r["step"] - 1) // 7 == epoch] for epoch in range(2)]
    assert order[0] != order[1]


def test_bad_rows_are_error_rows_and_the_examples_know_their_task(artifacts: dict[str, Artifact]) -> None:
    assert artifacts["rte"].errors()["item"].to_pylist() == ["train.tsv:26"]
    examples = artifacts["examples"].read()
    assert Counter(examples["group"].to_pylist()) == {"sst2": 48, "rte": 32, "qnli": 16}


def test_shared_tuned_and_alone_have_figures(
    artifacts: dict[str, Artifact], capsys: pytest.CaptureFixture[str]
) -> None:
    shared = artifacts["shared-evaluate-dev"].manifest["metrics"]
    assert {"sst2/accuracy", "rte/accuracy", "qnli/accuracy", "qnli/first_is_relevant", "qnli/mrr"} <= set(shared)
    rows = [artifacts[f"{name}-evaluate-dev"].rows() for name in ("sst2", "rte", "qnli")]
    assert rows == [8, 8, 8]  # of examples that are encoded once
    assert [artifacts[f"rte{suffix}-predictions"].rows() for suffix in ("", "-alone")] == [0, 0]
    inputs = artifacts["rte-train"].manifest["inputs"], artifacts["rte-alone-train"].manifest["inputs"]
    assert [Path(i["model"]["path"]).name.partition("-")[0] for i in inputs] == ["Train", "LoadEncoder"]
    mt_dnn.report(artifacts)
    lines = [line.split() for line in capsys.readouterr().err.splitlines()]
    assert ["task", "split", "figure", "shared", "tuned", "alone"] in lines
    assert any(line[:3] == ["rte", "dev", "accuracy"] and len(line) == 6 for line in lines)


def test_every_seed_has_a_shared_run_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = mt_dnn.graph("anywhere", ("rte", "sst2"), train=replace(TRAIN, seed=4), seeds=2, alone=True)
    assert [graph[f"train-{i}"].stage.seed for i in range(2)] == [4, 5]
    for i in range(2):
        nodes = ("shared-evaluate-dev", "rte-train", "rte-evaluate-dev", "rte-alone-train")
        models = [graph[f"{node}-{i}"].inputs["model"] for node in nodes]
        assert models == [f"train-{i}", f"train-{i}", f"rte-train-{i}", "encoder"]
    figures = {"shared": {"rte/accuracy": 0.5}, "rte": {"accuracy": 0.6}, "rte-alone": {"accuracy": 0.7}}
    artifacts = {}
    for name, metrics in figures.items():
        for i in range(2):
            node = f"{name}-evaluate-dev-{i}"
            moved = {figure: value + 0.1 * i for figure, value in metrics.items()}
            (tmp_path / node).mkdir()
            (tmp_path / node / "manifest.json").write_text(json.dumps({"metrics": moved}))
            artifacts[node] = Artifact(tmp_path / node, node)
    mt_dnn.report(artifacts)
    shown = " ".join(capsys.readouterr().err.splitlines()[-1].split())
    assert shown == "rte dev accuracy 0.5500 ± 0.0707 0.6500 ± 0.0707 0.7500 ± 0.0707"
    with pytest.raises(UserError, match="seeds must be at least 1"):
        mt_dnn.graph("anywhere", ("rte",), seeds=0)


def test_a_task_alone_goes_on_with_its_head(artifacts: dict[str, Artifact]) -> None:
    def head(node: str) -> dict[str, torch.Tensor]:
        return load_file(artifacts[node].path / "head.safetensors")

    shared = {name.removeprefix("rte_head."): t for name, t in head("train").items() if name.startswith("rte_head.")}
    away = [max((shared[n] - t).abs().max() for n, t in head(f"rte{s}-train").items()) for s in ("", "-alone")]
    assert away[0] < 1e-3 < 1e-2 < away[1]


def test_of_mnli_all_is_measured_and_its_accuracy_chooses() -> None:
    graph = mt_dnn.graph("anywhere", ("mnli", "rte"))
    assert graph["train"].stage.select_by == "mnli/accuracy"
    assert mt_dnn.graph("anywhere", ("rte",))["train"].stage.select_by is None
    assert {"shared-evaluate-dev_mismatched", "mnli-evaluate-dev_mismatched", "mnli-predictions_mismatched"} <= set(
        graph
    )
    assert "rte-predictions_mismatched" not in graph
    assert [node for node in graph if isinstance(graph[node].stage, Encode)] == ["examples"]


def test_a_new_row_says_which_task_it_is_for(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    rows = [
        {"group": "sst2", "text": "stir the soup"},
        {"group": "qnli", "text": "cut", "candidates": ["soup", "now", "the"]},
        {"text": "stir"},
        {"group": "rte", "text": "stir", "second": "soup"},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    predict_file(artifacts["train"].path, tmp_path / "rows.jsonl", tmp_path / "out.jsonl")
    first, second, third, fourth = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert first["predicted"] in ("0", "1")
    assert sorted(r["candidate"] for r in second["ranking"]) == [0, 1, 2]
    assert "group" in third["error"]
    assert fourth["predicted"] in ("entailment", "not_entailment")


def test_tasks_are_those_of_the_paper() -> None:
    of = {name: single_task(name, "answer_network", True, 128) for name in ("cola", "stsb", "mnli", "qnli")}
    assert of["cola"] == ClassifyText(labels=("0", "1"), figure="matthews", dropout=0.05, second_first=True)
    assert of["stsb"] == ScoreText(second_first=True, dropout=0.1)
    assert isinstance(of["mnli"], ClassifyPairs)
    assert (of["mnli"].dropout, of["mnli"].turns) == (0.3, 5)
    assert isinstance(of["qnli"], RankCandidates)
    assert not isinstance(single_task("rte", "cls", False, 128), ClassifyPairs)
    assert isinstance(mt_dnn.graph("anywhere")["train"].stage.task, MultiTask)
