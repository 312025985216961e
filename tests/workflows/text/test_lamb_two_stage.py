from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from models.encoder import TaskModel
from models.lamb import LambForm
from models.schedules import share_of_peak
from models.tasks import MaskedLM, VideoText
from pipeline import Artifact, Executor, Graph, LocalExecutor, Stage, Store, run
from pipeline.assignment import assign
from stages.encode import Encode
from stages.load_encoder import LoadEncoder
from stages.text.read_corpus import ReadCorpus
from stages.train import Train
from tests.models.small_encoders import save_encoder
from tests.stages.tiny_world import extended_bert, segments
from workflows import videobert
from workflows.text import lamb_two_stage
from workflows.text.lamb_two_stage import Sizes, in_two_stages

POSITIONS = "bert.embeddings.position_embeddings.weight"


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """The workflow with the preset's lengths and batches brought down to what a test can do."""
    folder = tmp_path_factory.mktemp("lamb")
    save_encoder(folder / "encoder")
    documents = [
        "stir the soup\nnow cut\nthe cafe now\nstir now the soup\ncut the soup now\nthe soup now\nstir the cafe soup\n"
    ] * 30
    (folder / "corpus.txt").write_text("\n".join(documents))
    tiny = {"small": (Sizes(12, 32, 10, 3e-2, 0.2, "linear"), Sizes(24, 16, 6, 1e-2, 0.5))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lamb_two_stage, "PRESETS", tiny)
        graph = lamb_two_stage.graph(
            str(folder / "corpus.txt"),
            preset="small",
            encoder=str(folder / "encoder"),
            corpus=ReadCorpus(texts="", dev_fraction=0.2),
            train=Train(task=MaskedLM(), optimizer="lamb", precision="float32", micro_batch_tokens=128),
        )
    return run(graph, Store(folder / "store"), LocalExecutor())


def curve(artifact: Artifact, name: str) -> list[float]:
    rows = pq.read_table(artifact.path / "loss.parquet").to_pylist()
    return [r["value"] for r in rows if r["name"] == name and r["split"] == "train"]


def test_the_second_stage_warms_up_again(artifacts: dict[str, Artifact]) -> None:
    first, second = (curve(artifacts[f"train-{name}"], "learning_rate") for name in ("short", "long"))
    assert first == pytest.approx([3e-2 * s for s in (0, 1 / 2, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8)])
    assert second == pytest.approx([1e-2 * s for s in (0, 1 / 3, 2 / 3, 1, (2 / 3) ** 0.5, (1 / 3) ** 0.5)])


def test_longer_positions_are_first_touched_in_the_second_stage(artifacts: dict[str, Artifact]) -> None:
    start, short, long = (
        load_file(artifacts[name].path / "model.safetensors")[POSITIONS]
        for name in ("encoder", "train-short", "train-long")
    )
    moved_first, moved_then = (start != short).any(1).nonzero(), (short != long).any(1).nonzero()
    assert moved_first.flatten().tolist() == list(range(12))
    assert moved_then.flatten().tolist() == list(range(24))


def test_the_second_stage_goes_on_from_the_first(artifacts: dict[str, Artifact]) -> None:
    losses = [curve(artifacts[f"train-{name}"], "loss") for name in ("short", "long")]
    assert losses[0][-1] < losses[0][0] - 0.3
    assert losses[1][0] < losses[0][0] - 0.3
    short = artifacts["train-short"]
    task = MaskedLM(max_length=24)
    kept = TaskModel.start(short.path, task, seed=9, keep_head=True).head.state_dict()
    saved = load_file(short.path / "head.safetensors")
    assert all((kept[name] == saved[name]).all() for name in saved)


def test_both_are_measured_on_the_same_examples(artifacts: dict[str, Artifact]) -> None:
    figures = [artifacts[f"evaluate-{name}"].manifest["metrics"] for name in ("short", "long")]
    assert all(f.keys() == {"word_accuracy", "word_perplexity", "next_sentence_accuracy"} for f in figures)
    assert figures[1]["word_perplexity"] < figures[0]["word_perplexity"]


def test_every_seed_has_both_stages() -> None:
    graph = lamb_two_stage.graph("corpus.txt", seeds=2)
    assert [graph[f"train-{name}-1"].stage.seed for name in ("short", "long")] == [1, 1]  # type: ignore[attr-defined]
    assert graph["train-long-1"].inputs == {"model": "train-short-1", "examples": "examples-long"}
    assert graph["evaluate-long-1"].inputs["model"] == "train-long-1"


@pytest.mark.parametrize("preset", ["survey", "paper"])
def test_presets_are_the_published_ones(preset: str) -> None:
    """The survey's and the paper's sequences; all else of NVIDIA's DeepLearningExamples, BERT phase 1 and 2."""
    graph = lamb_two_stage.graph("corpus.txt", preset=preset)
    short, long = graph["train-short"].stage, graph["train-long"].stage
    assert (short.task.max_length, long.task.max_length) == ({"survey": 256, "paper": 128}[preset], 512)
    assert (short.global_batch_size, short.steps, short.learning_rate, short.warmup) == (65_536, 7_038, 6e-3, 0.2843)
    assert (long.global_batch_size, long.steps, long.learning_rate, long.warmup) == (32_768, 1_563, 4e-3, 0.128)
    for stage in (short, long):
        assert stage.optimizer == "lamb"
        warm = int(stage.warmup * stage.steps)
        rates = [
            share_of_peak(stage.schedule, step, stage.steps, stage.warmup, stage.decay_power)
            for step in (0, warm // 2, warm, warm + (stage.steps - warm) * 3 // 4)
        ]
        assert rates == pytest.approx([0, 0.5, 1, 0.5], abs=2e-3)  # sqrt(1 - 3/4)


def test_the_small_preset_s_form_of_lamb_can_be_chosen() -> None:
    train = Train(task=MaskedLM(), optimizer="lamb", lamb=LambForm(debias=True))
    graph = lamb_two_stage.graph("corpus.txt", preset="small", train=train)
    stages = [graph[f"train-{name}"].stage for name in ("short", "long")]
    assert [(s.task.max_length, s.global_batch_size, s.steps) for s in stages] == [(32, 256, 60), (64, 128, 20)]
    assert all(stage.lamb.debias and stage.schedule == "linear" for stage in stages)


@dataclass(frozen=True, kw_only=True)
class WriteSegments(Stage):
    """Segments of videos, from nowhere."""

    writes: ClassVar[pa.Schema] = pa.schema(
        [("video_id", pa.string()), ("text", pa.string()), ("tokens", pa.list_(pa.uint16())), ("split", pa.string())]
    )

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        segments(out)


def test_videobert_in_two_stages(tmp_path: Path) -> None:
    """Both read the same examples, whose lengths are drawn. A second stage at the rate 0 ends as the first did, with
    its encoder and its head."""
    extended_bert(tmp_path / "bert")
    g = Graph()
    g.add("encoder", LoadEncoder(encoder=str(tmp_path / "bert")))
    g.add("segments", WriteSegments())
    g.add("examples", Encode(task=VideoText()), rows="segments", model="encoder")
    sizes = {"steps": 3, "global_batch_size": 16, "precision": "float32", "optimizer": "lamb"}
    short = Train(task=VideoText(max_text=2, max_visual=2), learning_rate=0.1, **sizes)
    in_two_stages(g, short, replace(short, task=VideoText(), learning_rate=0.0), examples=("examples", "examples"))
    made = run(g, Store(tmp_path / "store"), LocalExecutor())
    start, first, second = (
        load_file(made[name].path / "model.safetensors") for name in ("encoder", "train-short", "train-long")
    )
    moved = (start[POSITIONS] != first[POSITIONS]).any(1).nonzero().flatten().tolist()
    assert moved == list(range(2 + 2 + 3))
    assert all(torch.equal(first[name], second[name]) for name in first)
    heads = [load_file(made[name].path / "head.safetensors") for name in ("train-short", "train-long")]
    fresh = TaskModel.start(made["encoder"].path, VideoText(), seed=0).head.state_dict()
    for name, tensor in fresh.items():
        assert torch.equal(heads[0][name], heads[1][name])
        assert not torch.equal(heads[0][name], tensor)


def test_videobert_s_workflow_in_two_stages() -> None:
    g = videobert.graph("clips", labels="labels.csv", epochs=10, two_stages=True)
    short, long = g["train-short"], g["train-long"]
    assert "train" not in g
    assert (short.inputs, long.inputs["model"]) == ({"model": "encoder", "examples": "examples"}, "train-short")
    sizes = [(s.task.max_text, s.task.max_visual, s.epochs, s.global_batch_size) for s in (short.stage, long.stage)]
    assert sizes == [(16, 12, 9, 256), (64, 48, 1, 128)]
    assert g["evaluate"].inputs["model"] == g["zero_shot"].inputs["model"] == "train-long"
    assign(g, "train-short.optimizer=lamb")
    assert g["train-short"].stage.optimizer == "lamb"
