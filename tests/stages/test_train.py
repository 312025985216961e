from __future__ import annotations

import multiprocessing
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn.utils import parameters_to_vector
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

from models.encoder import TaskModel
from models.lamb import LambForm
from models.optimizers import OptimizerName
from models.task_file import TASK, load_task, save_task
from models.tasks import VideoText
from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from pipeline.store import write_json
from stages.rank_group import Ranks
from stages.train import Train
from stages.training_loop import CHECKPOINT, Trainer, TrainingRun
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


def alone(stage: Train, inputs: Inputs, out: Path) -> Trainer:
    run = TrainingRun(stage, inputs["model"].path, tuple(inputs["examples"].parts), out)
    return Trainer(run, Ranks(0, 1, torch.device("cpu")))


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


def assert_tensorboard_shows_the_curve(artifact: Artifact) -> None:
    events = EventAccumulator(str(artifact.path / "tensorboard"), {"scalars": 0}).Reload()
    shown = sorted((tag, e.step, e.value) for tag in events.Tags()["scalars"] for e in events.Scalars(tag))
    rows = pq.read_table(artifact.path / "loss.parquet").to_pylist()
    known = sorted((f"{r['name']}/{r['split']}", r["step"], r["value"]) for r in rows)
    assert [point[:2] for point in shown] == [point[:2] for point in known]
    assert [point[2] for point in shown] == pytest.approx([point[2] for point in known])


def test_tensorboard_shows_the_curve(trained: Artifact) -> None:
    assert_tensorboard_shows_the_curve(trained)


def test_two_workers_have_the_loss_curve_of_one(trained: Artifact, inputs: Inputs, tmp_path: Path) -> None:
    """Dropout is on: it is drawn for each micro-batch, wherever that is computed."""
    two = train(TRAIN, inputs, tmp_path, workers=2)
    assert curve(two, "loss") == pytest.approx(curve(trained, "loss"), rel=2e-4)
    assert two.manifest["metrics"] == pytest.approx(trained.manifest["metrics"], rel=1e-2)


SELECTING = replace(TRAIN, steps=200, select_by="joint/alignment_accuracy", patience=4, evaluate_every=2)


@pytest.fixture(scope="module")
def selected(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return train(SELECTING, inputs, tmp_path_factory.mktemp("selected"))


def test_the_best_evaluation_is_kept_and_patience_ends(selected: Artifact) -> None:
    values = curve(selected, "joint/alignment_accuracy", "dev")
    best = values.index(max(values))
    assert len(values) == best + 1 + 4 < 100
    assert len(curve(selected, "loss")) == 2 * len(values)
    figures = selected.manifest["metrics"]
    assert figures["joint/alignment_accuracy"] == max(values)
    assert figures["text/word_accuracy"] == curve(selected, "text/word_accuracy", "dev")[best]


def test_the_weights_kept_are_those_of_the_best_evaluation(selected: Artifact, inputs: Inputs, tmp_path: Path) -> None:
    """A run that starts from them, head and all, measures at once what the best evaluation did."""
    trainer = alone(SELECTING, {**inputs, "model": selected}, tmp_path)
    assert trainer._evaluate() == pytest.approx(selected.manifest["metrics"])


def test_a_killed_run_ends_with_the_weights_of_one_left_alone(
    selected: Artifact, inputs: Inputs, tmp_path: Path
) -> None:
    for _ in range(2):
        process = multiprocessing.get_context("spawn").Process(target=train, args=(SELECTING, inputs, tmp_path))
        process.start()
        known = (tmp_path / CHECKPOINT).stat().st_mtime_ns if (tmp_path / CHECKPOINT).is_file() else 0
        while process.is_alive() and not (tmp_path / "metrics.json").exists():
            if (tmp_path / CHECKPOINT).is_file() and (tmp_path / CHECKPOINT).stat().st_mtime_ns > known:
                break
            time.sleep(0.005)
        process.kill()
        process.join()
        assert not (tmp_path / "manifest.json").exists()
        time.sleep(1)  # TensorBoard orders files by the second in their names
    again = train(SELECTING, inputs, tmp_path)
    for name in ("model.safetensors", "head.safetensors", "loss.parquet", "metrics.json", "loss.png"):
        assert (again.path / name).read_bytes() == (selected.path / name).read_bytes(), name
    assert_tensorboard_shows_the_curve(again)


def test_how_it_is_computed_is_not_part_of_the_key() -> None:
    key = TRAIN.key({})
    assert replace(TRAIN, gradient_checkpointing=True, micro_batch_tokens=9, checkpoint_every=1).key({}) == key
    assert replace(TRAIN, learning_rate=1.0).key({}) != key
    assert replace(TRAIN, task=VideoText(mask_joint=False)).key({}) != key


def test_gradient_checkpointing_changes_nothing(trained: Artifact, inputs: Inputs, tmp_path: Path) -> None:
    again = train(replace(TRAIN, gradient_checkpointing=True), inputs, tmp_path)
    assert curve(again, "loss") == pytest.approx(curve(trained, "loss"), rel=1e-4)


@pytest.mark.parametrize(("checkpointing", "passes"), [(False, 1), (True, 2)])
def test_gradient_checkpointing_computes_every_layer_twice(
    inputs: Inputs, tmp_path: Path, checkpointing: bool, passes: int
) -> None:
    trainer = alone(replace(TRAIN, gradient_checkpointing=checkpointing), inputs, tmp_path)
    seen = []
    for layer in trainer.model.encoder.encoder.layer:
        layer.attention.register_forward_hook(lambda module, *_: seen.append(module))
    trainer.model.train()
    batches = trainer.batches.of_step(0)
    n_micro_batches = len(list(batches.micro_batches))
    trainer._step(0, batches)
    assert n_micro_batches > 1
    assert len(seen) == passes * n_micro_batches * 2


def test_the_whole_gradient_is_clipped(inputs: Inputs, tmp_path: Path) -> None:
    """Under so large an epsilon AdamW's first step is the gradient times rate / epsilon, here a tenth."""
    stage = replace(TRAIN, steps=1, schedule="constant", warmup=0.0, weight_decay=0.0, epsilon=1e5, learning_rate=1e4)

    def gradient(clip_norm: float) -> torch.Tensor:
        trainer = alone(replace(stage, clip_norm=clip_norm), inputs, tmp_path)
        before = parameters_to_vector(trainer.parameters).detach().clone()
        trainer.model.train()
        trainer._step(0, trainer.batches.of_step(0))
        return (before - parameters_to_vector(trainer.parameters).detach()) * 10

    whole, clipped = gradient(1e9), gradient(0.5)
    assert whole.norm() > 1
    assert float(clipped.norm()) == pytest.approx(0.5, rel=1e-2)
    assert torch.allclose(clipped, whole * (0.5 / whole.norm()), atol=1e-4)


def test_frozen_embeddings_stay(inputs: Inputs, tmp_path: Path) -> None:
    out = train(replace(TRAIN, freeze_embeddings=True, steps=3), inputs, tmp_path)
    before, after = (AutoModel.from_pretrained(a.path).get_input_embeddings().weight for a in (inputs["model"], out))
    assert (before == after).all()


@pytest.mark.parametrize("optimizer", ["bert_adam", "adamax"])
def test_other_optimizers_train_too(inputs: Inputs, tmp_path: Path, optimizer: OptimizerName) -> None:
    losses = curve(train(replace(TRAIN, optimizer=optimizer), inputs, tmp_path), "loss")
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 1


def test_lambs_switches_and_grouping_by_length_reach_the_run(inputs: Inputs, tmp_path: Path) -> None:
    plain = alone(replace(TRAIN, optimizer="lamb"), inputs, tmp_path / "plain")
    form = LambForm(debias=True)
    other = alone(replace(TRAIN, optimizer="lamb", lamb=form, group_by_length=True), inputs, tmp_path / "other")
    assert [trainer.optimizer.form for trainer in (plain, other)] == [LambForm(), form]
    assert [trainer.batches.order.lengths is not None for trainer in (plain, other)] == [False, True]


def test_bf16_computes_nearly_what_float32_does(trained: Artifact, inputs: Inputs, tmp_path: Path) -> None:
    losses = curve(train(replace(TRAIN, precision="bf16"), inputs, tmp_path), "loss")
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 1
    first = curve(trained, "loss")[0]
    assert 1e-6 < abs(losses[0] - first) / first < 1e-2


def weights(artifact: Artifact) -> dict[str, torch.Tensor]:
    return load_file(artifact.path / "model.safetensors")


def test_the_schedule_and_the_optimizer_are_followed(inputs: Inputs, tmp_path: Path) -> None:
    stage = replace(TRAIN, optimizer="lamb", schedule="polynomial", decay_power=0.5, warmup=0.25)
    rates = curve(train(stage, inputs, tmp_path), "learning_rate")
    rise, fall = [s / 3 for s in range(3)], [(s / 9) ** 0.5 for s in range(9, 0, -1)]
    assert rates == pytest.approx([3e-3 * share for share in (*rise, *fall)])


def test_the_head_learns_first(inputs: Inputs, tmp_path: Path) -> None:
    """Five epochs of 64 examples are 20 steps: all of them here, at a flat rate."""
    out = train(replace(TRAIN, head_first=5.0), inputs, tmp_path)
    before, after = weights(inputs["model"]), weights(out)
    assert all((before[name] == after[name]).all() for name in before)
    assert set(curve(out, "learning_rate")) == {3e-3}
    fresh = TaskModel.start(inputs["model"].path, TRAIN.task, TRAIN.seed).head.weight
    assert (fresh != TaskModel.load(out.path).head.weight).all()


def test_alone_the_head_may_learn_at_a_rate_of_its_own(inputs: Inputs, tmp_path: Path) -> None:
    """Of 12 steps the first 4 are one epoch; the curve is of what has the scale 1, the head's rate four times that."""
    stage = replace(TRAIN, head_first=1.0, head_first_rate=4e-2, head_rate=4.0, schedule="constant", warmup=0.0)
    assert curve(train(stage, inputs, tmp_path), "learning_rate") == pytest.approx([1e-2] * 4 + [3e-3] * 8)


def test_lower_layers_stay_and_upper_ones_learn_faster(inputs: Inputs, tmp_path: Path) -> None:
    out = train(replace(TRAIN, freeze_layers=1, layer_decay=0.01, steps=3, warmup=0.0), inputs, tmp_path)
    before, after = weights(inputs["model"]), weights(out)
    moved = {n: float((after[n] - before[n]).abs().max()) for n in before}
    assert not any(by for n, by in moved.items() if "embeddings" in n or "layer.0." in n)
    top, above = moved["bert.encoder.layer.1.output.dense.weight"], moved["cls.predictions.transform.dense.weight"]
    assert 0 < top < 0.1 * above
    with pytest.raises(UserError, match="freeze_layers is 3, but the encoder has 2 layers"):
        train(replace(TRAIN, freeze_layers=3), inputs, tmp_path / "more")


def test_a_run_from_a_trained_model_goes_on_with_its_head(trained: Artifact) -> None:
    def head(task: VideoText, keep_head: bool = True) -> torch.Tensor:
        return TaskModel.start(trained.path, task, seed=5, keep_head=keep_head).head.weight

    known = load_file(trained.path / "head.safetensors")["weight"]
    assert (head(VideoText(mask_joint=False)) == known).all()
    assert not (head(TRAIN.task, keep_head=False) == known).any()


def test_position_rows_are_first_touched_by_longer_sequences(inputs: Inputs, tmp_path: Path) -> None:
    """No decay before: a second run with longer sequences finds them as the encoder has them."""
    task = replace(TRAIN.task, max_text=1, max_visual=1, concatenate=0.0)
    out = train(replace(TRAIN, task=task, optimizer="lamb", weight_decay=0.5, steps=4), inputs, tmp_path)
    rows = "bert.embeddings.position_embeddings.weight"
    moved = (weights(inputs["model"])[rows] != weights(out)[rows]).any(1)
    assert moved.nonzero().flatten().tolist() == [0, 1, 2, 3, 4]  # [CLS] word [>] visual word [SEP]


def test_no_training_example_is_said(inputs: Inputs, tmp_path: Path) -> None:
    empty = Artifact(tmp_path / "none", "none")
    empty.path.mkdir()
    save_task(TRAIN.task, empty.path / TASK)
    write_json(empty.path / "manifest.json", {"key": "none"})
    with pytest.raises(UserError, match="no row whose split is 'train'"):
        train(TRAIN, {**inputs, "examples": empty}, tmp_path / "out")


@pytest.mark.parametrize(
    "fields",
    [
        {"steps": 0},
        {"epochs": 0.0},
        {"global_batch_size": 0},
        {"warmup": 1.0},
        {"layer_decay": 0.0},
        {"freeze_layers": -1},
        {"optimizer": "bert_adam", "beta2": 0.99999},
        {"patience": 2},
        {"beta2": 1.0},
    ],
)
def test_fields_out_of_range_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        replace(TRAIN, **fields)
