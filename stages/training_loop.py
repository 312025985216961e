"""The one training loop, of a single process or of one rank among several.

Means are over the global batch: gradients of sums divided by counts that all ranks have added up before the forward
pass. A checkpoint holds all that a run's end depends on, so one that is killed ends like one left alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.utils import get_total_norm
from transformers import AutoTokenizer

from models.dropout import replace_dropouts
from models.encoder import TaskModel
from models.heap import trim_heap
from models.optimizers import make_optimizer
from models.parameter_groups import HEAD, freeze, parameter_groups
from models.position_rows import unreached_positions_stay
from models.precision import has_fast_bf16
from models.row_gradient import RowGradient
from models.schedules import share_of_peak
from models.tasks.task import has_windows
from models.vocabulary import Vocabulary
from pipeline import UserError
from pipeline.progress import counting, say
from pipeline.store import write_atomically, write_json, write_part
from stages.loss_curve import RATE, LossCurve, draw_loss_curve
from stages.micro_batches import seed_of
from stages.rank_group import Ranks, joined_ranks
from stages.selection import Selection
from stages.training_batches import StepBatches, TrainingBatches
from stages.windows import join_windows

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from stages.train import Train

CHECKPOINT = "checkpoint.pt"
BEST = "best-{}.pt"
"""The weights of the best evaluation, by its step."""
METRICS = "metrics.json"
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


def train_loop(run: TrainingRun) -> None:
    """Train from the last checkpoint, or the start, to the end; write the model into ``run.out``."""
    with joined_ranks() as ranks:
        Trainer(run, ranks).run()


class Trainer:
    """One rank of a training run."""

    def __init__(self, run: TrainingRun, ranks: Ranks) -> None:
        settings = run.train
        self.settings, self.out, self.ranks, self.task = settings, run.out, ranks, settings.task
        self.tokenizer = AutoTokenizer.from_pretrained(str(run.model))
        self.vocabulary = Vocabulary.of(self.tokenizer)
        self.batches = TrainingBatches(
            self.task,
            self.vocabulary,
            run.parts,
            run.out,
            ranks,
            batch_size=settings.global_batch_size,
            micro_batch_tokens=settings.micro_batch_tokens,
            seed=settings.seed,
            group_by_length=settings.group_by_length,
            group=settings.group,
        )
        self.dev = self.batches.dev(settings.evaluate_examples)
        if settings.select_by and not len(self.dev):
            raise UserError("select_by: the examples have no row whose split is 'dev'")
        self.steps = settings.steps or self.batches.order.steps_in(settings.epochs)
        self.head_steps = min(self.steps, self.batches.order.steps_in(settings.head_first))
        model = TaskModel.start(run.model, self.task, settings.seed, settings.keep_head, settings.group)
        self.model = model.to(ranks.device)
        replace_dropouts(self.model)
        if settings.gradient_checkpointing:
            self.model.pretrained.activation_checkpointing_enable()
        self.optimizer = self._make_optimizer()
        table: Any = self.model.pretrained.get_input_embeddings()
        alone = ranks.size == 1 and ranks.device.type == "cpu" and not self.task.masked_lm
        self.words = RowGradient(table) if alone and table.weight.requires_grad else None
        bf16 = settings.precision == "bf16" or (settings.precision == "auto" and has_fast_bf16(ranks.device))
        self.autocast = torch.autocast(ranks.device.type, torch.bfloat16, enabled=bf16)
        self.selection = Selection(settings.select_by, settings.patience)
        self.curve = LossCurve()

    def _make_optimizer(self) -> torch.optim.Optimizer:
        settings, model = self.settings, self.model
        n_layers = getattr(model.pretrained.config, "num_hidden_layers", 0)
        if settings.freeze_layers > n_layers:
            raise UserError(f"freeze_layers is {settings.freeze_layers}, but the encoder has {n_layers} layers")
        if settings.freeze_embeddings:
            model.pretrained.get_input_embeddings().requires_grad_(False)
        try:
            freeze(model.named_parameters(), settings.freeze_layers, n_layers)
        except ValueError as error:
            raise UserError(f"freeze_layers is {settings.freeze_layers}, but {error}") from error
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.parameters = [p for _, p in named]
        self.encoder_parameters = [p for name, p in named if not name.startswith(HEAD)]
        groups = parameter_groups(
            named,
            weight_decay=settings.weight_decay,
            n_layers=n_layers,
            layer_decay=settings.layer_decay,
            head_rate=settings.head_rate,
        )
        return make_optimizer(
            settings.optimizer,
            groups,
            learning_rate=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            epsilon=settings.epsilon,
            lamb=settings.lamb,
        )

    def run(self) -> None:
        first = self._load_checkpoint()
        last = first if self.selection.over else self.steps
        self.model.train()
        with (
            counting("train", self.steps, "steps", done=first) as counter,
            ThreadPoolExecutor(1) as ahead,
            self._tensorboard(first) as tensorboard,
        ):
            coming = ahead.submit(self.batches.of_step, first)
            for step in range(first, last):
                batches = coming.result()
                if step + 1 < last:
                    coming = ahead.submit(self.batches.of_step, step + 1)
                measured = {"train": self._step(step, batches)}
                if self._is_evaluated(step + 1):
                    measured["dev"] = self._evaluate()
                    if self.selection.better(step + 1, measured["dev"]):
                        self._save(BEST.format(step + 1), self.model.state_dict())
                for split, values in measured.items():
                    self.curve.add(step + 1, split, values)
                    for name, value in values.items():
                        if tensorboard:
                            tensorboard.add_scalar(f"{name}/{split}", value, step + 1)
                over = step + 1 == self.steps or self.selection.over
                if over or (step + 1) % self.settings.checkpoint_every == 0:
                    if tensorboard:  # a run that goes on from the checkpoint does not write them again
                        tensorboard.flush()
                    self._save_checkpoint(step + 1)
                if not self.ranks.rank:
                    counter.advance(1, f"loss {measured['train']['loss']:.3f}")
                if over:
                    break
        self._end()

    def _is_evaluated(self, step: int) -> bool:
        every = self.settings.evaluate_every or max(1, self.steps // EVALUATIONS)
        return len(self.dev) > 0 and (step % every == 0 or step == self.steps)

    # ------------------------------------------------------------------------------------------- one step

    def _step(self, step: int, batches: StepBatches) -> dict[str, float]:
        """One optimiser step; returns the parts of the loss over the global batch, as "loss" their sum, and the
        learning rate."""
        head_only = step < self.head_steps
        for parameter in self.encoder_parameters:
            parameter.requires_grad_(not head_only)
        totals = self.ranks.sum(batches.counts)
        sums = torch.zeros(len(self.task.loss_terms), dtype=torch.float64, device=self.ranks.device)
        place = {name: i for i, name in enumerate(self.task.loss_terms)}
        for micro in batches.micro_batches:
            torch.manual_seed(seed_of(self.settings.seed, step, micro.number))
            batch = micro.batch.to(self.ranks.device)
            with self.autocast:
                losses = self.task.loss(self.model.head, self.model(batch), batch, totals)
            if losses:
                values = torch.stack(list(losses.values()))
                values.sum().backward()  # type: ignore[no-untyped-call]
                sums[[place[name] for name in losses]] += values.detach().double()
        self._reduce_gradients(self.model.head.parameters() if head_only else self.parameters)
        rate = self._learning_rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        with unreached_positions_stay(self.model.pretrained, self.optimizer):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.words:
            self.words.clear()
        trim_heap()
        parts = self.ranks.sum(dict(zip(self.task.loss_terms, sums.tolist(), strict=True)))
        parts = {name: value for name, value in parts.items() if totals[name]}
        return {"loss": sum(parts.values()), **parts, RATE: rate}

    def _learning_rate(self, step: int) -> float:
        """Of what has the scale 1; flat while only the head learns."""
        settings, start = self.settings, self.head_steps
        if step < start:
            first = settings.head_first_rate
            return settings.learning_rate if first is None else first / settings.head_rate
        share = share_of_peak(
            settings.schedule, step - start, self.steps - start, settings.warmup, settings.decay_power
        )
        return settings.learning_rate * share

    def _reduce_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add the ranks' gradients up and clip them. One that no micro-batch touched is zero on all of them."""
        gradients = [words] if self.words and (words := self.words.take()) is not None else []
        taken = self.words.weight if self.words and gradients else None
        for parameter in parameters:
            if parameter.requires_grad and parameter is not taken:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                gradients.append(parameter.grad)
        if self.ranks.size > 1:
            for handle in [dist.all_reduce(gradient, async_op=True) for gradient in gradients]:
                handle.wait()
        share = self.settings.clip_norm / (get_total_norm(gradients) + 1e-6)
        if self.ranks.device.type != "cpu" or share < 1:  # asking a GPU would wait for it
            torch._foreach_mul_(gradients, share.clamp(max=1.0))
        if self.words:
            self.words.lay_out()

    # ------------------------------------------------------------------------------------------- the dev split

    def _evaluate(self) -> dict[str, float]:
        """The task's metrics on the dev split, drawn the same way at every evaluation."""
        rows = self._evaluation_rows(self.dev)
        return {name: float(value) for name, value in self.task.metrics(rows).items()}

    @torch.no_grad()
    def _evaluation_rows(self, positions: np.ndarray) -> list[dict[str, Any]]:
        """What the task's metrics need of the examples at ``positions``, of all ranks, in an order of its own; with
        windows one row for the windows of each row, in order."""
        self.model.eval()
        windowed = has_windows(self.task)
        found: list[tuple[int, dict[str, Any]]] = []
        for start in range(0, len(positions), EVALUATION_BLOCK):
            block = np.asarray(positions[start : start + EVALUATION_BLOCK])
            for micro in self.batches.of(block, block):
                batch = micro.batch.to(self.ranks.device)
                with self.autocast:
                    encoded = self.model(batch)
                    rows = self.task.evaluate(self.model.head, encoded, batch, self.vocabulary)
                trim_heap()
                places = micro.positions.tolist() if windowed else [0] * len(rows)
                found += zip(places, rows, strict=True)
        self.model.train()
        found = self.ranks.gather(found)
        found.sort(key=itemgetter(0))
        rows = [row for _, row in found]
        return join_windows(self.task, [self.batches.examples[i] for i, _ in found], rows) if windowed else rows

    # ------------------------------------------------------------------------------------------- what is kept

    def _save_checkpoint(self, step: int) -> None:
        """Model, optimiser, step, curve and the best evaluation; order, masks and dropout follow from seed and step."""
        state = {
            "step": step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "curve": self.curve.state(),
            "selection": self.selection.state(),
        }
        self._save(CHECKPOINT, state)
        if not self.ranks.rank:
            for path in self.out.glob(BEST.format("*")):
                if path.name != BEST.format(self.selection.step):
                    path.unlink()

    def _save(self, name: str, state: dict[str, Any]) -> None:
        if not self.ranks.rank:
            with write_atomically(self.out / name) as temporary:
                torch.save(state, temporary)

    def _load(self, name: str) -> dict[str, Any]:
        state: dict[str, Any] = torch.load(self.out / name, map_location=self.ranks.device, weights_only=True)
        return state

    def _load_checkpoint(self) -> int:
        if not (self.out / CHECKPOINT).is_file():
            return 0
        state = self._load(CHECKPOINT)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.selection.load_state(state["selection"])
        self.curve.load_state(state["curve"])
        return int(state["step"])

    def _end(self) -> None:
        """Go back to the best evaluation, let the task choose its thresholds on the whole dev split, and write."""
        kept = self.curve.last_step
        if self.selection.by is not None:
            self.ranks.wait()
            kept = self.selection.step
            self.model.load_state_dict(self._load(BEST.format(kept)))
        if self.task.tunes:
            self.model.task = self.task.tune(self._evaluation_rows(self.batches.dev()))
        if not self.ranks.rank:
            self._write(kept)

    def _write(self, kept: int) -> None:
        if self.selection.by is not None:
            say(f"the best {self.selection.by} was at step {kept} of {self.curve.last_step}: its weights are kept")
        curve = self.curve.table()
        write_part(self.out / "loss.parquet", curve)
        with write_atomically(self.out / "loss.png") as temporary:
            draw_loss_curve(curve, temporary)
        self.model.save(self.out)
        self.tokenizer.save_pretrained(self.out)
        write_json(self.out / METRICS, self.curve.at(kept, "dev"))

    def _tensorboard(self, first: int) -> AbstractContextManager[SummaryWriter | None]:
        """Scalars as TensorBoard events, on rank 0; those after the checkpoint that is gone back to are dropped."""
        if self.ranks.rank:
            return nullcontext()
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(self.out / "tensorboard", purge_step=first + 1)
