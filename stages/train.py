"""The one Train stage: any task, any encoder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from models.lamb import LambForm
from models.optimizers import OptimizerName
from models.schedules import Schedule
from models.tasks import Task
from pipeline import Artifact, Executor, Resources, Stage, UserError
from stages.encode import check_fit
from stages.examples import POSITIONS
from stages.inference import adopted
from stages.training_loop import BEST, CHECKPOINT, METRICS, TrainingRun, train_loop


@dataclass(frozen=True, kw_only=True)
class Train(Stage):
    """Train a task on encoded examples, starting from an encoder.

    In   model: a Hugging Face directory, also one that Train wrote; examples: what Encode wrote for the same task
    Out  a Hugging Face directory with the task's head beside it (head.safetensors, task.json), the loss curve
         (loss.parquet: step, split, name, value; loss.png; tensorboard/) and metrics.json on the dev split

    The same seed gives the same loss curve on any number of workers, and a run that was killed ends with the weights
    of one that was not: whatever is random in an example comes from (seed, its position in the order), dropout from
    (seed, step, micro-batch).
    """

    version: ClassVar[str] = "9"
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"model": (), "examples": ("length", "split")}
    neutral: ClassVar[frozenset[str]] = frozenset({"micro_batch_tokens", "gradient_checkpointing", "checkpoint_every"})

    task: Task
    """What is learned."""
    group: str | None = None
    """Of examples, and of a model, of several tasks: the name of the one whose examples and head are taken."""
    epochs: float = 3.0
    """Passes over the training split."""
    steps: int | None = None
    """Optimiser steps, instead of epochs."""
    global_batch_size: int = 128
    """Examples an optimiser step, over all workers and micro-batches."""
    group_by_length: bool = False
    """Make each batch of examples of about one length, sorted in pools of 50 batches that are drawn. A GPU computes
    padding too, and such batches have next to none; on a CPU BERT and ELECTRA skip it anyway, and a batch of any
    lengths tells more of the whole."""
    learning_rate: float = 1e-4
    """Highest learning rate, reached at the end of the warm-up."""
    schedule: Schedule = "linear"
    """How the learning rate goes on after the warm-up: linearly down to 0, constant, by the inverse square root of the
    step, or as a polynomial of the steps that are left."""
    warmup: float = 0.1
    """Share of the steps over which the learning rate rises from 0."""
    decay_power: float = 0.5
    """The polynomial's power."""
    optimizer: OptimizerName = "adamw"
    """AdamW, Google's Adam for BERT (no bias correction), Adamax, or LAMB for very large batches."""
    beta1: float = 0.9
    """How slowly the optimiser forgets the mean gradient."""
    beta2: float = 0.999
    """How slowly it forgets the gradient's size."""
    epsilon: float | None = None
    """Keeps it from dividing by 0; by default 1e-8, and 1e-6 for Google's Adam and LAMB."""
    lamb: LambForm = field(default_factory=LambForm)
    """LAMB's switches."""
    weight_decay: float = 0.01
    """Decoupled weight decay of everything but biases and layer norms."""
    clip_norm: float = 1.0
    """Largest norm of the whole gradient."""
    layer_decay: float = 1.0
    """What a layer's learning rate is of that of the layer above it, down to the embeddings."""
    head_rate: float = 1.0
    """What the head's learning rate is of that of the encoder's top."""
    head_first: float = 0.0
    """Epochs at the start in which the head learns alone, at a flat rate; the schedule begins after them."""
    head_first_rate: float | None = None
    """The head's learning rate in those epochs; by default its highest of the schedule."""
    keep_head: bool = True
    """Go on with the head of a model that was trained for the same task; else it starts afresh."""
    freeze_layers: int = 0
    """Leave the embeddings and so many layers above them as they are; 0 for none."""
    freeze_embeddings: bool = False
    """Leave the rows of words and visual words, input and output, as they are."""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """Number format of the matrix products; auto takes bf16 where the machine has units for it."""
    seed: int = 0
    """Seeds order, masks, dropout and the head's start."""
    evaluate_every: int | None = None
    """Steps between evaluations on the dev split; by default ten over the run."""
    evaluate_examples: int = 2000
    """About how many dev examples an evaluation looks at, evenly spaced over the split; of what is judged together (a
    row's windows, a query's candidates) all or none."""
    select_by: str | None = None
    """A figure of the dev split, with a minus before its name if less is better: the weights of the best evaluation are
    kept. By default the last ones are."""
    patience: int | None = None
    """Evaluations in a row without a better one after which training ends; by default it never does before its end."""
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
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise UserError("beta1 and beta2 are at least 0 and less than 1")
        if self.optimizer == "bert_adam" and max(self.beta1, self.beta2) > 0.9999:
            raise UserError("bert_adam: beta1 and beta2 are at most 0.9999")
        if min(self.layer_decay, self.head_rate, self.decay_power) <= 0:
            raise UserError("layer_decay, head_rate and decay_power must be positive")
        if min(self.freeze_layers, self.head_first) < 0:
            raise UserError("freeze_layers and head_first must be 0 or more")
        if self.head_first_rate is not None and self.head_first_rate <= 0:
            raise UserError("head_first_rate must be positive")
        if self.patience is not None and (self.patience < 1 or not self.select_by):
            raise UserError("patience is 1 or more, and needs select_by")

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any]:
        if not (out / METRICS).is_file():
            examples = inputs["examples"]
            task = adopted(self.task, examples.path, self.group)
            check_fit(task, inputs["model"].path)
            run = TrainingRun(replace(self, task=task), inputs["model"].path, tuple(examples.parts), out)
            executor.fit(train_loop, run, Resources(gpus=1))
        for scratch in (CHECKPOINT, BEST.format("*"), f"*.{POSITIONS}"):
            for path in out.glob(scratch):
                path.unlink()
        return {"metrics": json.loads((out / METRICS).read_text())}
