"""The one Train stage: any task, any encoder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from models.task_file import load_task
from models.tasks import Task
from pipeline import Artifact, Executor, Resources, Stage, UserError
from stages.training_loop import CHECKPOINT, INDEX, METRICS, TrainingRun, train_loop


@dataclass(frozen=True, kw_only=True)
class Train(Stage):
    """Train a task on encoded examples, starting from an encoder.

    In   model: a Hugging Face directory; examples: what Encode wrote for the same task
    Out  a Hugging Face directory with the task's head beside it (head.safetensors, task.json), the loss curve
         (loss.parquet: step, split, name, value; loss.png; tensorboard/) and metrics.json on the dev split

    The same seed gives the same loss curve on any number of workers, and a run that was killed ends with the weights
    of one that was not: whatever is random in an example comes from (seed, its position in the order), dropout from
    (seed, step, micro-batch).
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"model": (), "examples": ("length", "split")}
    neutral: ClassVar[frozenset[str]] = frozenset({"micro_batch_tokens", "gradient_checkpointing", "checkpoint_every"})

    task: Task
    """What is learned."""
    epochs: float = 3.0
    """Passes over the training split."""
    steps: int | None = None
    """Optimiser steps, instead of epochs."""
    global_batch_size: int = 128
    """Examples an optimiser step, over all workers and micro-batches."""
    learning_rate: float = 1e-4
    """Highest learning rate, reached at the end of the warm-up."""
    warmup: float = 0.1
    """Share of the steps over which the learning rate rises from 0; it then falls linearly to 0."""
    optimizer: Literal["adamw", "bert_adam"] = "adamw"
    """AdamW, or Google's Adam for BERT (no bias correction)."""
    weight_decay: float = 0.01
    """Decoupled weight decay of everything but biases and layer norms."""
    clip_norm: float = 1.0
    """Largest norm of the whole gradient."""
    freeze_embeddings: bool = False
    """Leave the rows of words and visual words, input and output, as they are."""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """Number format of the matrix products; auto takes bf16 where the machine has units for it."""
    seed: int = 0
    """Seeds order, masks, dropout and the head's start."""
    evaluate_every: int | None = None
    """Steps between evaluations on the dev split; by default ten over the run."""
    evaluate_examples: int = 2000
    """Dev examples an evaluation looks at, from the first on."""
    micro_batch_tokens: int = 4096
    """Padded tokens a worker holds at once; less needs less memory."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, a third more time."""
    checkpoint_every: int = 500
    """Steps between checkpoints, which an interrupted run goes on from."""

    def __post_init__(self) -> None:
        if (self.steps is not None and self.steps < 1) or self.epochs <= 0:
            raise UserError("steps and epochs must be positive")
        if self.global_batch_size < 1:
            raise UserError("global_batch_size must be at least 1")
        if not 0 <= self.warmup < 1:
            raise UserError("warmup is a share of the steps: at least 0 and less than 1")

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any]:
        if not (out / METRICS).is_file():
            examples = inputs["examples"]
            try:
                task = self.task.adopt(load_task(examples.path))
            except ValueError as error:
                raise UserError(f"{examples.path}: {error}") from error
            run = TrainingRun(replace(self, task=task), inputs["model"].path, tuple(examples.parts), out)
            executor.fit(train_loop, run, Resources(gpus=1))
        (out / CHECKPOINT).unlink(missing_ok=True)
        for split in ("train", "dev"):
            (out / f"{split}.{INDEX}").unlink(missing_ok=True)
        return {"metrics": json.loads((out / METRICS).read_text())}
