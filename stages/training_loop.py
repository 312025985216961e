"""The one training loop. It knows torch.distributed (RANK, WORLD_SIZE) and nothing of what started it.

Every rank draws only its own micro-batches. A micro-batch is cut from the global batch in order of length, the same
on any number of ranks, and means are over the global batch: gradients of sums divided by counts that all ranks have
added up before the forward pass.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
import torch.distributed as dist
from transformers import AutoTokenizer

from models.encoder import TaskModel
from models.optimizers import linear_warmup_decay, make_optimizer
from models.precision import best_device, has_fast_bf16
from models.tasks import Batch, Task
from models.vocabulary import Vocabulary
from pipeline import UserError
from pipeline.progress import counting
from pipeline.store import write_atomically, write_json, write_part
from stages.examples import open_examples
from stages.loss_curve import draw_loss_curve
from stages.micro_batches import cut, seed_of
from stages.shuffle import permute
from stages.windows import has_windows, join_windows

if TYPE_CHECKING:
    from stages.train import Train

CHECKPOINT = "checkpoint.pt"
METRICS = "metrics.json"
INDEX = "positions"
EVALUATIONS = 10
"""Evaluations over a run, unless a field says otherwise."""
EVALUATION_BLOCK = 256
"""Dev examples that are grouped by length at a time."""


@dataclass(frozen=True)
class TrainingRun:
    """What a rank needs to know: the stage's fields, where the encoder and the examples lie, where to write."""

    train: Train
    model: Path
    parts: tuple[Path, ...]
    out: Path


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together."""

    rank: int
    size: int
    device: torch.device

    def sum(self, values: dict[str, float]) -> dict[str, float]:
        """The values added up over all ranks; every rank passes the same names."""
        if self.size == 1:
            return values
        tensor = torch.tensor([values[k] for k in sorted(values)], dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return dict(zip(sorted(values), tensor.tolist(), strict=True))


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """Join the process group that the environment names, if this is not a lone process."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    device = best_device()
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        torch.cuda.set_device(device)
    if size == 1:
        yield Ranks(0, 1, device)
        return
    mine = not dist.is_initialized()
    if mine:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), device)
    finally:
        if mine:
            dist.destroy_process_group()


def train_loop(run: TrainingRun) -> None:
    """Train from the last checkpoint, or the start, to the end; write the model into ``run.out``."""
    with joined_ranks() as ranks:
        Trainer(run, ranks).run()


class Trainer:
    """One rank of a training run."""

    def __init__(self, run: TrainingRun, ranks: Ranks) -> None:
        self.settings, self.out, self.ranks = run.train, run.out, ranks
        self.task = run.train.task
        self.tokenizer = AutoTokenizer.from_pretrained(str(run.model))
        self.vocabulary = Vocabulary.of(self.tokenizer)
        self.examples = open_examples(run.parts)
        self.train_positions = self._positions("train")
        self.dev_positions = self._positions("dev")[: run.train.evaluate_examples]
        if not len(self.train_positions):
            raise UserError("the examples have no row whose split is 'train'")
        self.steps = run.train.steps or math.ceil(
            run.train.epochs * len(self.train_positions) / run.train.global_batch_size
        )
        self.model = TaskModel.start(run.model, run.train.task, run.train.seed).to(ranks.device)
        if run.train.gradient_checkpointing:
            self.model.pretrained.activation_checkpointing_enable()
        if run.train.freeze_embeddings:
            self.model.pretrained.get_input_embeddings().requires_grad_(False)
        self.optimizer = make_optimizer(
            run.train.optimizer,
            ((n, p) for n, p in self.model.named_parameters() if p.requires_grad),
            learning_rate=run.train.learning_rate,
            weight_decay=run.train.weight_decay,
        )
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        bf16 = run.train.precision == "bf16" or (run.train.precision == "auto" and has_fast_bf16(ranks.device))
        self.autocast = torch.autocast(ranks.device.type, torch.bfloat16, enabled=bf16)
        self.curve: list[dict[str, Any]] = []
        """Rows of loss.parquet: step, split, name, value."""

    def _positions(self, split: str) -> np.ndarray:
        path = self.out / f"{split}.{INDEX}"
        if self.ranks.size > 1 and self.ranks.rank:
            dist.barrier()
        positions = self.examples.positions_of(split, path)
        if self.ranks.size > 1 and not self.ranks.rank:
            dist.barrier()
        return positions

    def run(self) -> None:
        first = self._load_checkpoint()
        every = self.settings.evaluate_every or max(1, self.steps // EVALUATIONS)
        self.model.train()
        with (
            counting("train", self.steps, "steps", done=first) as counter,
            ThreadPoolExecutor(1) as ahead,
            self._tensorboard(first) as tensorboard,
        ):
            coming = ahead.submit(self._micro_batches, first) if first < self.steps else None
            for step in range(first, self.steps):
                assert coming is not None
                batches = coming.result()
                if step + 1 < self.steps:
                    coming = ahead.submit(self._micro_batches, step + 1)
                losses = self._step(step, batches)
                rows = [{"step": step + 1, "split": "train", "name": n, "value": v} for n, v in losses.items()]
                if len(self.dev_positions) and ((step + 1) % every == 0 or step + 1 == self.steps):
                    figures = self._evaluate()
                    rows += [{"step": step + 1, "split": "dev", "name": n, "value": v} for n, v in figures.items()]
                self.curve += rows
                for row in rows:
                    tensorboard(f"{row['name']}/{row['split']}", row["value"], row["step"])
                if (step + 1) % self.settings.checkpoint_every == 0 or step + 1 == self.steps:
                    self._save_checkpoint(step + 1)
                if not self.ranks.rank:
                    counter.advance(1, f"loss {losses['loss']:.3f}")
        self._tune()
        if not self.ranks.rank:
            self._finish()

    # ------------------------------------------------------------------------------------------- one step

    def _step(self, step: int, batches: list[tuple[int, Batch]]) -> dict[str, float]:
        """One optimiser step; returns the parts of the loss over the global batch and, as "loss", their sum."""
        totals = self.ranks.sum({n: sum(b.counts[n] for _, b in batches) for n in self.task.loss_terms})
        sums = dict.fromkeys(self.task.loss_terms, 0.0)
        for micro, batch in batches:
            torch.manual_seed(seed_of(self.settings.seed, step, micro))
            with self.autocast:
                moved = batch.to(self.ranks.device)
                losses = self.task.loss(self.model.head, self.model(moved), moved, totals)
            if losses:
                torch.stack(list(losses.values())).sum().backward()
            for name, value in losses.items():
                sums[name] += float(value.detach())
        self._reduce_gradients()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm)
        rate = linear_warmup_decay(step, self.steps, self.settings.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        sums = {n: v for n, v in self.ranks.sum(sums).items() if totals[n]}
        return {"loss": sum(sums.values()), **sums}

    def _reduce_gradients(self) -> None:
        """Add the ranks' gradients up. One that no micro-batch touched is zero, on any number of ranks."""
        for parameter in self.parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if self.ranks.size > 1:
            for handle in [dist.all_reduce(p.grad, async_op=True) for p in self.parameters]:
                handle.wait()

    # ------------------------------------------------------------------------------------------- examples

    def _micro_batches(self, step: int) -> list[tuple[int, Batch]]:
        """This rank's share of the global batch of ``step``, with the number of each micro-batch in it."""
        settings = self.settings
        positions = step * settings.global_batch_size + np.arange(settings.global_batch_size)
        epochs, within = np.divmod(positions, len(self.train_positions))
        order = np.empty_like(within)
        for epoch in np.unique(epochs):
            key = seed_of(settings.seed, int(epoch))
            order[epochs == epoch] = permute(within[epochs == epoch], len(self.train_positions), key)
        return self._collate(self.train_positions[order], positions)

    def _collate(self, indices: np.ndarray, names: np.ndarray) -> list[tuple[int, Batch]]:
        """This rank's micro-batches of the examples at ``indices``, each drawn with a generator of its name's own."""
        batches = []
        for micro, chunk in enumerate(cut(self.examples.lengths(indices), self.settings.micro_batch_tokens)):
            if micro % self.ranks.size == self.ranks.rank:
                drawn = [
                    self.task.draw(
                        self.examples,
                        int(indices[i]),
                        np.random.default_rng([self.settings.seed, int(names[i])]),
                        self.vocabulary,
                    )
                    for i in chunk
                ]
                batches.append((micro, self.task.collate(drawn, self.vocabulary)))
        return batches

    def _evaluate(self) -> dict[str, float]:
        """The task's metrics on the dev split, drawn the same way at every evaluation."""
        rows = self._evaluation_rows(self.dev_positions)
        return {name: float(value) for name, value in self.task.metrics(rows).items()}

    def _tune(self) -> None:
        """Let the task choose its thresholds on the whole dev split; the model is saved with them."""
        if type(self.task).tune is not Task.tune:
            self.model.task = self.task.tune(self._evaluation_rows(self._positions("dev")))

    @torch.no_grad()
    def _evaluation_rows(self, positions: np.ndarray) -> list[dict[str, Any]]:
        """What the task's metrics need of the examples at ``positions``, of all ranks, in an order of its own; with
        windows one row for the windows of each row, in order."""
        self.model.eval()
        windowed = has_windows(self.task)
        found: list[tuple[int, dict[str, Any]]] = []
        for start in range(0, len(positions), EVALUATION_BLOCK):
            indices = np.asarray(positions[start : start + EVALUATION_BLOCK])
            chunks = cut(self.examples.lengths(indices), self.settings.micro_batch_tokens)
            for micro, batch in self._collate(indices, indices):
                moved = batch.to(self.ranks.device)
                with self.autocast:
                    encoded = self.model(moved)
                    rows = self.task.evaluate(self.model.head, encoded, moved, self.vocabulary)
                places = indices[chunks[micro]].tolist() if windowed else [0] * len(rows)
                found += zip(places, rows, strict=True)
        self.model.train()
        if self.ranks.size > 1:
            gathered: list[Any] = [None] * self.ranks.size
            dist.all_gather_object(gathered, found)
            found = [row for part in gathered for row in part]
        found.sort(key=itemgetter(0))
        rows = [row for _, row in found]
        return join_windows(self.task, [self.examples[i] for i, _ in found], rows) if windowed else rows

    # ------------------------------------------------------------------------------------------- what is kept

    def _save_checkpoint(self, step: int) -> None:
        """Model, optimiser, step and curve; order, masks and dropout follow from seed and step."""
        if self.ranks.rank:
            return
        state = {
            "step": step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "curve": self.curve,
        }
        with write_atomically(self.out / CHECKPOINT) as temporary:
            torch.save(state, temporary)

    def _load_checkpoint(self) -> int:
        path = self.out / CHECKPOINT
        if not path.is_file():
            return 0
        state = torch.load(path, map_location=self.ranks.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.curve = state["curve"]
        return int(state["step"])

    def _finish(self) -> None:
        schema = pa.schema(
            [("step", pa.int32()), ("split", pa.string()), ("name", pa.string()), ("value", pa.float64())]
        )
        curve = pa.Table.from_pylist(self.curve, schema)
        write_part(self.out / "loss.parquet", curve)
        with write_atomically(self.out / "loss.png") as temporary:
            draw_loss_curve(curve, temporary)
        self.model.save(self.out)
        self.tokenizer.save_pretrained(self.out)
        figures = {r["name"]: r["value"] for r in self.curve if r["split"] == "dev" and r["step"] == self.steps}
        write_json(self.out / METRICS, figures)

    @contextmanager
    def _tensorboard(self, first: int) -> Iterator[Callable[[str, float, int], None]]:
        """Scalars as TensorBoard events, on rank 0; those after the checkpoint that is gone back to are dropped."""
        if self.ranks.rank:
            yield lambda name, value, step: None
            return
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(self.out / "tensorboard", purge_step=first + 1) as writer:
            yield writer.add_scalar
