"""Several tasks that share one encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Self

import numpy as np
import pyarrow as pa
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from models.encoder import Encoded
from models.tasks.task import GROUP, Batch, Examples, Row, Task
from models.vocabulary import Vocabulary

RESERVED = ("model", "name", "stage", "self")
"""Names that an input of Encode cannot have."""


@dataclass(frozen=True)
class MultiTask(Task):
    """Tasks that hold a head each on one encoder (MT-DNN, Liu et al. 2019, arXiv 1901.11504, algorithm 1).

    Every optimiser step is on a mini-batch of one task; an epoch has the mini-batches of all of them, cut and shuffled
    anew each time. Encode has an input for each task, of that name; new rows say in ``group`` which task they are for.
    """

    tasks: Mapping[str, Task]
    """The tasks by name."""
    ratios: Mapping[str, float] = field(default_factory=dict)
    """How often an epoch passes over a task's examples: by default once; 0.5 takes half of them, others each time."""

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ValueError("tasks must hold at least one")
        for name in self.tasks:
            if not name.isidentifier() or name in RESERVED:
                raise ValueError(f"'{name}' cannot be the name of a task: letters, digits and _ make one")
        for name, ratio in self.ratios.items():
            if name not in self.tasks or ratio <= 0:
                raise ValueError(f"ratios: '{name}' must be one of {', '.join(self.tasks)}, with a number above 0")
        tasks = self.tasks.values()
        group = pa.schema([(GROUP, pa.string())])
        names = [list(task.columns) for task in tasks]
        # What other tasks say once for their class follows here from the tasks.
        follows: dict[str, Any] = {
            "columns": tuple(name for name in names[0] if all(name in others for others in names)),
            "example_schema": pa.unify_schemas([group, *(task.example_schema for task in tasks)]),
            "prediction_schema": pa.unify_schemas([group, *(task.prediction_schema for task in tasks)]),
            "masked_lm": any(task.masked_lm for task in tasks),
            "all_layers": any(task.all_layers for task in tasks),
            "token_columns": tuple(dict.fromkeys(name for task in tasks for name in task.token_columns)),
            "judged_by": tuple(dict.fromkeys(name for task in tasks for name in task.judged_by)),
            "loss_terms": tuple(f"{name}/{term}" for name, task in self.tasks.items() for term in task.loss_terms),
        }
        for name, value in follows.items():
            object.__setattr__(self, name, value)

    # ------------------------------------------------------------------------------------------- rows and examples

    def inputs(self) -> Mapping[str, tuple[str, ...]]:
        return {name: task.columns for name, task in self.tasks.items()}

    def most_tokens(self) -> tuple[int, tuple[str, ...]]:
        tokens, fields, name = max((*task.most_tokens(), name) for name, task in self.tasks.items())
        return tokens, tuple(f"tasks.{name}.{field}" for field in fields)

    def members(self) -> Mapping[str, tuple[Task, str]]:
        return {name: (task, f"{_head_of(name)}.") for name, task in self.tasks.items()}

    def groups(self) -> Mapping[str, float]:
        return {name: self.ratios.get(name, 1.0) for name in self.tasks}

    def learn(self, tables: Iterable[pa.Table]) -> Self:
        filled = (table for table in tables if table.num_rows)
        learned = dict(self.tasks)
        for name, mine in groupby(filled, key=lambda table: table[GROUP][0].as_py()):
            learned[name] = self.tasks[name].learn(mine)
        return replace(self, tasks=learned)

    def adopt(self, other: Task) -> Self:
        if not isinstance(other, MultiTask) or set(other.tasks) != set(self.tasks):
            raise ValueError(f"made for {_title(other)}, not for {_title(self)}")
        return replace(self, tasks={name: task.adopt(other.tasks[name]) for name, task in self.tasks.items()})

    def in_context(self, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase) -> Iterator[Row]:
        for name, group in groupby(rows, key=lambda row: str(row.get(GROUP))):
            mine = list(group)
            yield from self.tasks[name].in_context(mine, tokenizer) if name in self.tasks else mine

    def encode(self, row: Row, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
        name = row[GROUP]
        if name not in self.tasks:
            raise ValueError(f"'{GROUP}' is {name!r}, but the tasks are {', '.join(self.tasks)}")
        examples = self.tasks[name].encode(row, tokenizer)
        windows = {"window": 0} if "window" in self.example_schema.names else {}
        return [{**windows, **example, GROUP: name} for example in examples]

    def draw(self, examples: Examples, index: int, rng: np.random.Generator, vocabulary: Vocabulary) -> dict[str, Any]:
        name = examples[index][GROUP]
        return {**self.tasks[name].draw(examples, index, rng, vocabulary), GROUP: name}

    def lay_out(self, example: Row, vocabulary: Vocabulary) -> dict[str, Any]:
        return {**self.tasks[example[GROUP]].lay_out(example, vocabulary), GROUP: example[GROUP]}

    def collate(self, examples: Sequence[Row], vocabulary: Vocabulary) -> Batch:
        """A batch of one task; its counts are those of all tasks' losses."""
        name = examples[0][GROUP]
        batch = self.tasks[name].collate(examples, vocabulary)
        mine = {f"{name}/{term}": n for term, n in batch.counts.items()}
        batch.counts = {**dict.fromkeys(self.loss_terms, 0.0), **mine}
        return batch

    # ------------------------------------------------------------------------------------------- head and answers

    def adapt(self, pretrained: PreTrainedModel) -> None:
        for task in self.tasks.values():
            task.adapt(pretrained)

    def head(self, config: PreTrainedConfig) -> nn.Module:
        return nn.ModuleDict({_head_of(name): task.head(config) for name, task in self.tasks.items()})

    def _only(self, head: nn.Module, batch: Batch) -> tuple[str, Task, nn.Module, Batch]:
        """The task that a batch belongs to, with its head, and the batch as that task made it."""
        name = batch.examples[0][GROUP]
        counts = {term: batch.counts[f"{name}/{term}"] for term in self.tasks[name].loss_terms}
        return name, self.tasks[name], head.get_submodule(_head_of(name)), replace(batch, counts=counts)

    def loss(self, head: nn.Module, encoded: Encoded, batch: Batch, totals: Mapping[str, float]) -> dict[str, Tensor]:
        name, task, mine, batch = self._only(head, batch)
        losses = task.loss(mine, encoded, batch, {term: totals[f"{name}/{term}"] for term in task.loss_terms})
        return {f"{name}/{term}": loss for term, loss in losses.items()}

    def predict(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        name, task, mine, batch = self._only(head, batch)
        return [{GROUP: name, **answer} for answer in task.predict(mine, encoded, batch, vocabulary)]

    def evaluate(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        name, task, mine, batch = self._only(head, batch)
        return [{GROUP: name, **row} for row in task.evaluate(mine, encoded, batch, vocabulary)]

    def join(self, windows: Sequence[Row]) -> dict[str, Any]:
        name = windows[0][GROUP]
        task = self.tasks[name]
        joined = task.join(windows) if "window" in task.example_schema.names else dict(windows[0])
        return {**joined, GROUP: name}

    def metrics(self, rows: Iterable[Row]) -> dict[str, float]:
        """Every task's figures, as ``task/figure``."""
        figures = self._of_each(rows, lambda task, mine: task.metrics(mine))
        return {f"{name}/{figure}": value for name, values in figures.items() for figure, value in values.items()}

    def tune(self, rows: Iterable[Row]) -> Self:
        return replace(self, tasks={**self.tasks, **self._of_each(rows, lambda task, mine: task.tune(mine))})

    def _of_each(self, rows: Iterable[Row], ask: Callable[[Task, list[Row]], Any]) -> dict[str, Any]:
        """What ``ask`` makes of each task and its rows; of the tasks that have any."""
        mine: dict[str, list[Row]] = {name: [] for name in self.tasks}
        for row in rows:
            mine[row[GROUP]].append(row)
        return {name: ask(self.tasks[name], of_one) for name, of_one in mine.items() if of_one}


def _head_of(name: str) -> str:
    """The name of a task's head among modules, which have names like ``train`` themselves."""
    return f"{name}_head"


def _title(task: Task) -> str:
    name = type(task).__name__
    return f"{name} of {', '.join(task.tasks)}" if isinstance(task, MultiTask) else name
