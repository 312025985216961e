"""A trained model over many examples, in batches of like length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer

from models.encoder import Encoded, TaskModel
from models.heap import trim_heap
from models.precision import best_device, has_fast_bf16
from models.task_file import load_task
from models.tasks import Batch, Row, Task
from models.tasks.task import has_windows
from models.vocabulary import Vocabulary
from pipeline import UserError
from stages.micro_batches import cut
from stages.windows import join_windows

MICRO_BATCH_TOKENS = 8192

Reader = Callable[[torch.nn.Module, Encoded, Batch, Vocabulary], list[Any]]
"""A task's ``predict`` or ``evaluate``."""


def adopted(task: Task, directory: Path, member: str | None = None) -> Task:
    """The task with what the one saved in ``directory``, a trained model's or that of examples, has learned.

    Of several tasks that lie there, with what ``member`` has. UserError where none lies there, or another.
    """
    try:
        saved = load_task(directory)
        saved, _ = saved.members().get(member or "", (saved, ""))
        return task.adopt(saved)
    except ValueError as error:
        raise UserError(f"{directory}: {error}") from error


class Inference:
    """A model with its tokenizer, on the best device of this machine, in the fastest number format.

    Trained, or with ``trained=False`` the encoder of ``directory`` as it is, under a fresh head of ``task``. In float32
    where ``exact``: bf16 would let an answer depend, in its third digit, on the examples that share its batch.
    """

    def __init__(self, directory: Path, task: Task | None = None, trained: bool = True, exact: bool = False) -> None:
        self.device = best_device()
        try:
            model = TaskModel.load(directory, task) if trained or not task else TaskModel.start(directory, task, seed=0)
        except ValueError as error:
            raise UserError(f"{directory}: {error}") from error
        self.model = model.to(self.device).eval()
        self.task = self.model.task
        self.tokenizer = AutoTokenizer.from_pretrained(str(directory))
        self.vocabulary = Vocabulary.of(self.tokenizer)
        self._autocast = torch.autocast(
            self.device.type, torch.bfloat16, enabled=not exact and has_fast_bf16(self.device)
        )

    @torch.inference_mode()
    def run(self, drawn: Sequence[Row], read: Reader) -> Iterator[tuple[np.ndarray, list[Any]]]:
        """Cut drawn or laid-out examples into micro-batches; yields their positions and what ``read`` makes of them."""
        groups = np.array([e["group"] for e in drawn]) if self.task.groups() else None
        for chunk in cut(np.array([len(e["input_ids"]) for e in drawn]), MICRO_BATCH_TOKENS, groups):
            batch = self.task.collate([drawn[i] for i in chunk], self.vocabulary).to(self.device)
            with self._autocast:
                yield chunk, read(self.model.head, self.model(batch), batch, self.vocabulary)
            trim_heap()

    def predict(self, examples: Sequence[Row]) -> list[dict[str, Any]]:
        """The task's answer to every encoded example, or row where rows have windows, in their order."""
        laid_out = [self.task.lay_out(e, self.vocabulary) for e in examples]
        return self._joined(examples, self.run(laid_out, self.task.predict))

    def evaluate(self, drawn: Sequence[Row]) -> list[dict[str, Any]]:
        """What the task's metrics need of drawn examples."""
        results = self.run(drawn, self.task.evaluate)
        if has_windows(self.task):
            return self._joined(drawn, results)
        return [row for _, rows in results for row in rows]

    def _joined(
        self, examples: Sequence[Row], results: Iterable[tuple[np.ndarray, list[dict[str, Any]]]]
    ) -> list[dict[str, Any]]:
        """The results in the order of the examples, those of a row's windows as one."""
        in_order: list[dict[str, Any]] = [{}] * len(examples)
        for chunk, rows in results:
            for position, row in zip(chunk, rows, strict=True):
                in_order[position] = row
        return join_windows(self.task, examples, in_order)
