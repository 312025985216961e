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

from models.task_file import TASK, save_task
from models.tasks import Task
from pipeline import Artifact, Executor, Rejected, Stage, UserError
from pipeline.progress import say
from pipeline.store import read_part, write_atomically
from stages.examples import open_examples

LOGGED = 5


@dataclass(frozen=True, kw_only=True)
class Encode(Stage):
    """Turn rows into a task's examples, once, in parallel parts.

    In   rows, more (optional): tables with the task's columns; model: a directory with the tokenizer
    Out  the task's example_schema, as Arrow files that training maps into memory; task.json, the task with what it
         learned of the rows whose split is "train" (labels, tags)

    The first five examples are shown with tokens and ids. A row the task refuses is an error row.
    """

    version: ClassVar[str] = "2"
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"rows": (), "more": (), "model": ()}
    optional: ClassVar[frozenset[str]] = frozenset({"more"})

    task: Task
    """Whose examples."""

    @property
    def writes(self) -> pa.Schema:
        return self.task.example_schema

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        sources = [inputs[name] for name in ("rows", "more") if name in inputs]
        for source in sources:
            missing = [c for c in self.task.columns if source.schema is None or c not in source.schema.names]
            if missing:
                raise UserError(f"{source.path} lacks {', '.join(missing)}, which {type(self.task).__name__} reads")
        parts = [[part] for source in sources for part in source.parts]
        try:
            task = self.task.learn(training_rows(part) for (part,) in parts)
        except ValueError as error:
            raise UserError(f"{type(self.task).__name__} cannot learn from {sources[0].path}: {error}") from error
        with write_atomically(out / TASK) as temporary:
            save_task(task, temporary)
        make = partial(Encoder, task, inputs["model"].path)
        executor.map(make, parts, out, schema=self.task.example_schema, suffix=".arrow")
        self._show_first(out, inputs["model"].path)

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


def training_rows(part: Path) -> pa.Table:
    """The rows of a part that may be learned from."""
    table = read_part(part)
    return table.filter(pc.equal(table["split"], "train"))


class Encoder:
    """Rows in, examples out."""

    def __init__(self, task: Task, model: Path) -> None:
        self.task = task
        self.tokenizer = AutoTokenizer.from_pretrained(str(model))

    def __call__(self, rows: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        examples: list[dict[str, Any]] = []
        rejected = []
        for position, row in enumerate(self.task.in_context(rows.to_pylist())):
            try:
                examples += self.task.encode(row, self.tokenizer)
            except ValueError as error:
                first = row[self.task.columns[0]]
                rejected.append(Rejected(f"{first}, row {position} of its part", str(error)))
        return pa.Table.from_pylist(examples, self.task.example_schema), rejected
