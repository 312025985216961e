"""The one Encode stage: rows to a task's examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from transformers import AutoTokenizer

from models.positions import positions_of
from models.task_file import TASK, save_task
from models.tasks import Task
from models.tasks.task import GROUP
from models.word_layer import check_predicts_words
from pipeline import Artifact, Executor, Rejected, Stage, UserError
from pipeline.progress import say
from pipeline.store import read_part, write_atomically
from stages.examples import open_examples

LOGGED = 5
MODEL = "model"


@dataclass(frozen=True, kw_only=True)
class Encode(Stage):
    """Turn rows into a task's examples, once, in parallel parts.

    In   rows, more (optional): tables with the task's columns, or the inputs that the task names (one for each task of
         a MultiTask); model: a directory with the tokenizer
    Out  the task's example_schema, as Arrow files that training maps into memory; task.json, the task with what it
         learned of the rows whose split is "train" (labels, tags)

    The first five examples are shown with tokens and ids. A row the task refuses is an error row, which says the row's
    ``source`` where the table has that column.
    """

    version: ClassVar[str] = "6"
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"rows": (), "more": (), MODEL: ()}
    optional: ClassVar[frozenset[str]] = frozenset({"more"})

    task: Task
    """Whose examples."""

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        rows = self.task.inputs() or {"rows": self.task.columns, "more": self.task.columns}
        return {**rows, MODEL: ()}

    @property
    def writes(self) -> pa.Schema:  # type: ignore[override]
        return self.task.example_schema

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        check_fit(self.task, inputs[MODEL].path)
        tables = {name: inputs[name] for name in self.needs() if name in inputs and name != MODEL}
        sources = [(name, part) for name, table in tables.items() for part in table.parts]
        kinds = self.task.inputs()
        try:
            task = self.task.learn(training_rows(part, name if kinds else None) for name, part in sources)
        except ValueError as error:
            where = ", ".join(str(table.path) for table in tables.values())
            raise UserError(f"{type(self.task).__name__} cannot learn from {where}: {error}") from error
        with write_atomically(out / TASK) as temporary:
            save_task(task, temporary)
        make = partial(Encoder, task, inputs[MODEL].path)
        parts = [[part, pa.table({GROUP: [name]})] if kinds else [part] for name, part in sources]
        schema, whole = self.task.example_schema, self.task.looks_around
        executor.map(make, parts, out, schema=schema, whole=whole, suffix=".arrow")
        self._show_first(out, inputs[MODEL].path)

    def _show_first(self, out: Path, model: Path) -> None:
        tokenizer = AutoTokenizer.from_pretrained(str(model))
        examples = open_examples(Artifact(out, "").parts)
        for index in range(min(LOGGED, len(examples))):
            for name, value in examples[index].items():
                if name in self.task.token_columns and hasattr(value, "tolist"):
                    ids = value.tolist()
                    say(f"example {index}  {name}: {' '.join(tokenizer.convert_ids_to_tokens(ids))}  {ids}")
                else:
                    say(f"example {index}  {name}: {value}")


def check_fit(task: Task, model: Path) -> None:
    """UserError where the task needs words predicted and the encoder in ``model`` cannot, where it needs another kind
    of tokenizer, or where it makes sequences that are longer than that can read."""
    try:
        task.check(AutoTokenizer.from_pretrained(str(model)))
    except ValueError as error:
        raise UserError(f"{type(task).__name__} does not go with the tokenizer in {model}: {error}") from error
    if task.masked_lm:
        try:
            check_predicts_words(model)
        except ValueError as error:
            raise UserError(
                f"{type(task).__name__} predicts words, and the encoder in {model} cannot: {error}"
            ) from error
    tokens, fields = task.most_tokens()
    room = positions_of(model)
    if room is not None and tokens > room:
        lower = " or ".join(f"task.{field}" for field in fields)
        raise UserError(
            f"{type(task).__name__} makes sequences of up to {tokens} tokens, but the encoder in {model} has "
            f"{room} positions: lower {lower}"
        )


def training_rows(part: Path, group: str | None) -> pa.Table:
    """The rows of a part that may be learned from, as the input ``group`` has them."""
    table = read_part(part)
    return in_group(table.filter(pc.equal(table["split"], "train")), group)


def in_group(rows: pa.Table, group: str | None) -> pa.Table:
    """The rows with the column ``group``, which names the input they are from, where the task has several."""
    return rows if group is None else rows.append_column(GROUP, pa.array([group] * rows.num_rows, pa.string()))


class Encoder:
    """Rows in, examples out."""

    def __init__(self, task: Task, model: Path) -> None:
        self.task = task
        self.tokenizer = AutoTokenizer.from_pretrained(str(model))

    def __call__(self, rows: pa.Table, source: pa.Table | None = None) -> tuple[pa.Table, list[Rejected]]:
        group = source[GROUP][0].as_py() if source is not None else None
        examples: list[dict[str, Any]] = []
        rejected = []
        for position, row in enumerate(self.task.in_context(in_group(rows, group).to_pylist(), self.tokenizer)):
            try:
                examples += self.task.encode(row, self.tokenizer)
            except Exception as error:
                place = row.get("source") or f"row {position} of its part"
                rejected.append(Rejected(f"{row.get(self.task.columns[0])}, {place}", refusal(error)))
        return pa.Table.from_pylist(examples, self.task.example_schema), rejected


def refusal(error: Exception) -> str:
    """Why a task refuses a row, in one line. A value of another type than the task reads is refused too."""
    if isinstance(error, KeyError):
        return f"it lacks the column {error}"
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"
