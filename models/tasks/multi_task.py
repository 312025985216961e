"""Several tasks that share one encoder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from models.encoder import Encoded
from models.tasks.task import GROUP, WINDOW, Batch, Examples, Row, Task, has_windows
from models.vocabulary import Vocabulary

RESERVED = ("model", "name", "stage", "self")
"""Names that an input of Encode cannot have."""
OF_A_BATCH = "of a batch"
"""Where rows stand that are not one an example."""


@dataclass(frozen=True)
class MultiTask(Task):
    """Tasks that hold a head each on one encoder (MT-DNN, Liu et al. 2019, arXiv 1901.11504, algorithm 1).

    Every optimiser step is on a mini-batch of one task; an epoch has the mini-batches of all of them, cut and shuffled
    anew each time. Encode has an input for each task, of that name; new rows say in ``group`` which task they are for.

    Examples and answers have the columns of all tasks. One that the tasks have with different types is ``task/column``.
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
        in_order = {name: self.ratios[name] for name in self.tasks if name in self.ratios}
        object.__setattr__(self, "ratios", in_order)  # the order that they are given in means nothing
        tasks = self.tasks.values()
        names = [list(task.columns) for task in tasks]
        examples = merged({name: task.example_schema for name, task in self.tasks.items()})

        def stored(columns: str) -> tuple[str, ...]:
            named = [(name, column) for name, task in self.tasks.items() for column in getattr(task, columns)]
            return tuple(dict.fromkeys(place_of(column, name, examples.names) for name, column in named))

        # What other tasks say once for their class follows here from the tasks.
        follows: dict[str, Any] = {
            "columns": tuple(name for name in names[0] if all(name in others for others in names)),
            "example_schema": examples,
            "prediction_schema": merged({name: task.prediction_schema for name, task in self.tasks.items()}),
            "masked_lm": any(task.masked_lm for task in tasks),
            "all_layers": any(task.all_layers for task in tasks),
            "token_columns": stored("token_columns"),
            "judged_by": stored("judged_by"),
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

    @property
    def pooled(self) -> bool:
        """As of an encoder that is loaded for tasks that predict no words."""
        return True

    def check(self, tokenizer: PreTrainedTokenizerBase) -> None:
        for task in self.tasks.values():
            task.check(tokenizer)

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

    def shares_head(self, other: Task) -> bool:
        return (
            isinstance(other, MultiTask)
            and set(other.tasks) == set(self.tasks)
            and all(task.shares_head(other.tasks[name]) for name, task in self.tasks.items())
        )

    @property
    def looks_around(self) -> bool:
        return any(task.looks_around for task in self.tasks.values())

    def in_context(self, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase) -> Iterator[Row]:
        for name, group in groupby(rows, key=lambda row: str(row.get(GROUP))):
            mine = list(group)
            yield from self.tasks[name].in_context(mine, tokenizer) if name in self.tasks else mine

    def encode(self, row: Row, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
        name = row[GROUP]
        if name not in self.tasks:
            raise ValueError(f"'{GROUP}' is {name!r}, but the tasks are {', '.join(self.tasks)}")
        places, examples = self._places[name], self.tasks[name].encode(row, tokenizer)
        return [self._of(name, {places[column]: value for column, value in e.items()}) for e in examples]

    def seen(self, examples: pa.Table) -> np.ndarray:
        found = np.zeros(examples.num_rows, bool)
        for name, task in self.tasks.items():
            mine = pc.equal(examples[GROUP], name).fill_null(False).to_numpy()
            found |= mine & task.seen(own_examples(examples, task, name))
        return found

    def draw(self, examples: Examples, index: int, rng: np.random.Generator, vocabulary: Vocabulary) -> dict[str, Any]:
        name = examples[index][GROUP]
        own = OwnExamples(examples, self._places[name])
        return self._of(name, self.tasks[name].draw(own, index, rng, vocabulary))

    def lay_out(self, example: Row, vocabulary: Vocabulary) -> dict[str, Any]:
        name = example[GROUP]
        return self._of(name, self.tasks[name].lay_out(read(example, self._places[name]), vocabulary))

    @cached_property
    def _places(self) -> dict[str, dict[str, str]]:
        return {name: places_of(task, name, self.example_schema.names) for name, task in self.tasks.items()}

    def _of(self, name: str, example: Row) -> dict[str, Any]:
        """What a task made of an example, as these tasks have it: all have windows where one has."""
        windows = {WINDOW: 0} if has_windows(self) else {}
        return {**windows, **example, GROUP: name}

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
        answers = task.predict(mine, encoded, batch, vocabulary)
        return [{**answer, GROUP: name} if has_windows(task) else self._answer(name, answer) for answer in answers]

    def evaluate(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """What the tasks say. Windows are joined by their example: where one of the tasks has them, what another says
        of a batch as a whole stands with its first example."""
        name, task, mine, batch = self._only(head, batch)
        rows = [{GROUP: name, **row} for row in task.evaluate(mine, encoded, batch, vocabulary)]
        if has_windows(self) and len(rows) != len(batch.examples):
            return [{GROUP: name, OF_A_BATCH: of_it} for of_it in (rows, *([] for _ in batch.examples[1:]))]
        return rows

    def join(self, windows: Sequence[Row]) -> dict[str, Any]:
        name = windows[0][GROUP]
        task = self.tasks[name]
        return self._answer(name, task.join(windows)) if has_windows(task) else dict(windows[0])

    def _answer(self, name: str, answer: Row) -> dict[str, Any]:
        """An answer under the columns that these tasks' answers have."""
        names = self.prediction_schema.names
        return {GROUP: name, **{place_of(column, name, names): value for column, value in answer.items()}}

    def metrics(self, rows: Iterable[Row]) -> dict[str, float]:
        """Every task's figures, as ``task/figure``."""
        figures = self._of_each(rows, lambda task, mine: task.metrics(mine))
        return {f"{name}/{figure}": value for name, values in figures.items() for figure, value in values.items()}

    @property
    def tunes(self) -> bool:
        return any(task.tunes for task in self.tasks.values())

    def tune(self, rows: Iterable[Row]) -> Self:
        return replace(self, tasks={**self.tasks, **self._of_each(rows, lambda task, mine: task.tune(mine))})

    def _of_each(self, rows: Iterable[Row], ask: Callable[[Task, list[Row]], Any]) -> dict[str, Any]:
        """What ``ask`` makes of each task and its rows; of the tasks that have any."""
        mine: dict[str, list[Row]] = {name: [] for name in self.tasks}
        for row in rows:
            name = row[GROUP]
            for told in row.get(OF_A_BATCH, [row]):
                mine[name].append({column.removeprefix(f"{name}/"): value for column, value in told.items()})
        return {name: ask(self.tasks[name], of_one) for name, of_one in mine.items() if of_one}


@dataclass(frozen=True)
class OwnExamples:
    """Examples of several tasks as one of them reads them: its columns alone, by its own names."""

    examples: Examples
    places: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return read(self.examples[index], self.places)

    def other(self, index: int, name: str, rng: np.random.Generator, filled: tuple[str, ...] = ()) -> int | None:
        return self.examples.other(index, self.places[name], rng, tuple(self.places[column] for column in filled))


def own_examples(table: pa.Table, task: Task, group: str | None) -> pa.Table:
    """The same of a table of them, for ``task``, which is the one called ``group``; the table where that is None."""
    if group is None:
        return table
    places = places_of(task, group, table.column_names)
    return table.select([*places.values()]).rename_columns([*places])


def read(example: Row, places: Mapping[str, str]) -> dict[str, Any]:
    return {column: example[place] for column, place in places.items()}


def merged(schemas: Mapping[str, pa.Schema]) -> pa.Schema:
    """``group`` and the columns of all tasks; of those with different types each task has one of its own."""
    types: dict[str, set[pa.DataType]] = defaultdict(set)
    for schema in schemas.values():
        for column in schema:
            types[column.name].add(column.type)
    columns = {
        column.name if len(types[column.name]) == 1 else _own_name(column.name, name): column.type
        for name, schema in schemas.items()
        for column in schema
    }
    return pa.schema({GROUP: pa.string(), **columns})


def place_of(column: str, name: str, among: Collection[str]) -> str:
    """What the ``column`` of the task ``name`` is called ``among`` those of several tasks."""
    own = _own_name(column, name)
    return own if own in among else column


def places_of(task: Task, name: str, among: Collection[str]) -> dict[str, str]:
    """The same of all columns of the task's examples, and of that which says whose they are."""
    return {column: place_of(column, name, among) for column in (*task.example_schema.names, GROUP)}


def _own_name(column: str, name: str) -> str:
    return f"{name}/{column}"


def _head_of(name: str) -> str:
    """The name of a task's head among modules, which have names like ``train`` themselves."""
    return f"{name}_head"


def _title(task: Task) -> str:
    name = type(task).__name__
    return f"{name} of {', '.join(task.tasks)}" if isinstance(task, MultiTask) else name
