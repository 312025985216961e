from __future__ import annotations

import multiprocessing
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

from models.encoder import TaskModel
from models.task_file import TASK, load_task, save_task
from models.tasks import VideoText
from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from pipeline.store import write_json
from stages.train import Train
from stages.training_loop import CHECKPOINT
from tests.stages.tiny_world import examples, extended_bert

TRAIN = Train(
    task=VideoText(),
    steps=12,
    global_batch_size=16,
    learning_rate=3e-3,
    precision="float32",
    micro_batch_tokens=64,
    checkpoint_every=3,
)
Inputs = dict[str, Artifact]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    folder = tmp_path_factory.mktemp("world")
    model = extended_bert(folder / "model")
    return {"model": model, "examples": examples(folder, model)}


def train(stage: Train, inputs: Inputs, out: Path, workers: int = 1) -> Artifact:
    artifact = Artifact(out, "trained")
    make(stage, inputs, artifact, LocalExecutor(train_workers=workers))
    return artifact


@pytest.fixture(scope="module")
def trained(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return train(TRAIN, inputs, tmp_path_factory.mktemp("trained"))


def curve(artifact: Artifact, name: str, split: str = "train") -> list[float]:
    rows = pq.read_table(artifact.path / "loss.parquet").to_pylist()
    return [r["value"] for r in rows if r["name"] == name and r["split"] == split]


def test_the_loss_falls_and_the_dev_split_is_measured(trained: Artifact) -> None:
    losses = curve(trained, "loss")
    assert len(losses) == 12
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 1
    assert len(curve(trained, "text/word_accuracy", "dev")) == 12
    assert trained.manifest["metrics"].keys() >= {"joint/alignment_accuracy", "video/visual_perplexity"}


def test_a_trained_model_is_a_hugging_face_directory(trained: Artifact) -> None:
    encoder, whole = (c.from_pretrained(trained.path) for c in (AutoModel, AutoModelForMaskedLM))
    assert encoder.config.vocab_size == len(AutoTokenizer.from_pretrained(trained.path))
    assert whole.get_output_embeddings().weight is whole.get_input_embeddings().weight
    model = TaskModel.load(trained.path)
    assert (model.pretrained.get_input_embeddings().weight == whole.get_input_embeddings().weight).all()
    assert load_task(trained.path) == TRAIN.task


def test_curve_files_are_there_and_scratch_files_are_not(trained: Artifact) -> None:
    names = {p.name for p in trained.path.iterdir()}
    assert {"loss.parquet", "loss.png", "metrics.json", "tensorboard", "task.json", "head.safetensors"} <= names
    assert not [n for n in names if n.endswith((".positions", ".tmp")) or n == CHECKPOINT]
    assert list((trained.path / "tensorboard").glob("events.out.tfevents.*"))


def test_two_workers_have_the_loss_curve_of_one(trained: Artifact, inputs: Inputs, tmp_path: Path) -> None:
    """Dropout is on: it is drawn for each micro-batch, wherever that is computed."""
    two = train(TRAIN, inputs, tmp_path, workers=2)
    assert curve(two, "loss") == pytest.approx(curve(trained, "loss"), rel=2e-4)
    assert two.manifest["metrics"] == pytest.approx(trained.manifest["metrics"], rel=1e-2)


def test_a_killed_run_ends_with_the_weights_of_one_left_alone(
    trained: Artifact, inputs: Inputs, tmp_path: Path
) -> None:
    for _ in range(2):
        process = multiprocessing.get_context("spawn").Process(target=train, args=(TRAIN, inputs, tmp_path))
        process.start()
        known = (tmp_path / CHECKPOINT).stat().st_mtime_ns if (tmp_path / CHECKPOINT).is_file() else 0
        while process.is_alive() and not (tmp_path / "metrics.json").exists():
            if (tmp_path / CHECKPOINT).is_file() and (tmp_path / CHECKPOINT).stat().st_mtime_ns > known:
                break
            time.sleep(0.005)
        process.kill()
        process.join()
        assert not (tmp_path / "manifest.json").exists()
    again = train(TRAIN, inputs, tmp_path)
    for name in ("model.safetensors", "head.safetensors", "loss.parquet", "metrics.json", "loss.png"):
        assert (again.path / name).read_bytes() == (trained.path / name).read_bytes(), name


def test_how_it_is_computed_is_not_part_of_the_key() -> None:
    key = TRAIN.key({})
    assert replace(TRAIN, gradient_checkpointing=True, micro_batch_tokens=9, checkpoint_every=1).key({}) == key
    assert replace(TRAIN, learning_rate=1.0).key({}) != key
    assert replace(TRAIN, task=VideoText(mask_joint=False)).key({}) != key


def test_gradient_checkpointing_changes_nothing(trained: Artifact, inputs: Inputs, tmp_path: Path) -> None:
    again = train(replace(TRAIN, gradient_checkpointing=True), inputs, tmp_path)
    assert curve(again, "loss") == pytest.approx(curve(trained, "loss"), rel=1e-4)


def test_frozen_embeddings_stay(inputs: Inputs, tmp_path: Path) -> None:
    out = train(replace(TRAIN, freeze_embeddings=True, steps=3), inputs, tmp_path)
    before, after = (AutoModel.from_pretrained(a.path).get_input_embeddings().weight for a in (inputs["model"], out))
    assert (before == after).all()


def test_googles_adam_and_bf16_train_too(inputs: Inputs, tmp_path: Path) -> None:
    out = train(replace(TRAIN, optimizer="bert_adam", precision="bf16"), inputs, tmp_path)
    losses = curve(out, "loss")
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 1


def test_no_training_example_is_said(inputs: Inputs, tmp_path: Path) -> None:
    empty = Artifact(tmp_path / "none", "none")
    empty.path.mkdir()
    save_task(TRAIN.task, empty.path / TASK)
    write_json(empty.path / "manifest.json", {"key": "none"})
    with pytest.raises(UserError, match="no row whose split is 'train'"):
        train(TRAIN, {**inputs, "examples": empty}, tmp_path / "out")


@pytest.mark.parametrize("fields", [{"steps": 0}, {"epochs": 0.0}, {"global_batch_size": 0}, {"warmup": 1.0}])
def test_fields_out_of_range_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(UserError):
        replace(TRAIN, **fields)
