"""The one Predict stage, and the same for a file of new rows."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from transformers import PreTrainedTokenizerBase

from models.task_file import load_task
from models.tasks import Row, Task
from models.tasks.multi_task import own_examples
from models.tasks.task import WINDOW
from pipeline import Artifact, Executor, Rejected, Resources, Stage, UserError
from pipeline.progress import counting
from pipeline.store import read_part, write_atomically
from stages.encode import refusal
from stages.examples import MappedExamples, rows_of
from stages.inference import Inference
from stages.text import tables
from stages.windows import positions_by_row

BLOCK = 1024
"""Rows of a file that are answered at a time."""


@dataclass(frozen=True, kw_only=True)
class Predict(Stage):
    """A trained model's answers to encoded examples.

    In   model: what Train wrote; examples: what Encode wrote for the same task
    Out  the task's prediction_schema, a row an example of the split, or a row where the task joins a row's windows
    """

    version: ClassVar[str] = "3"
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"model": (), "examples": ("split",)}

    task: Task
    """What the model was trained for."""
    split: str = "test"
    """Which examples: train, dev or test."""
    group: str | None = None
    """Of examples of several tasks: the name of the one whose examples are taken."""

    @property
    def writes(self) -> pa.Schema:  # type: ignore[override]
        return self.task.prediction_schema

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        parts = inputs["examples"].parts
        make = partial(Predictor, inputs["model"].path, self.task, self.group, parts)
        rows, start = [], 0
        for part in parts:
            table = own_examples(read_part(part), self.task, self.group)
            rows.append([positions_by_row(self.task, table, rows_of(table, self.split, self.group), start)])
            start += table.num_rows
        schema = self.task.prediction_schema
        executor.map(make, rows, out, schema=schema, by="row", whole=True, resources=Resources(gpus=1))


class Predictor:
    """Positions of examples in, answers out."""

    def __init__(self, model: Path, task: Task, group: str | None, parts: Sequence[Path]) -> None:
        self.inference = Inference(model, task)
        self.examples = MappedExamples(own_examples(read_part(part), self.inference.task, group) for part in parts)

    def __call__(self, positions: pa.Table) -> pa.Table:
        answers = self.inference.predict([self.examples[i] for i in positions["position"].to_pylist()])
        return pa.Table.from_pylist(answers, self.inference.task.prediction_schema)


def predict_file(model_dir: Path, source: Path, out: Path | None) -> None:
    """Answer the rows of a .jsonl, .csv, .tsv or .parquet file, a JSON line each, to ``out`` or standard output.

    The cells of .csv and .tsv are texts, and null where they are empty. A row that cannot be read or that the task
    refuses gets a line with its number and the reason under "error".
    """
    try:
        load_task(model_dir)
    except ValueError as error:
        raise UserError(str(error)) from None
    total = sum(1 for _ in read_rows(source))
    inference = Inference(model_dir)
    if out is None:
        _answer(inference, read_rows(source), total, sys.stdout)
    else:
        with write_atomically(out) as temporary, temporary.open("w", encoding="utf-8") as file:
            _answer(inference, read_rows(source), total, file)


def _answer(inference: Inference, rows: Iterable[tables.Line | Rejected], total: int, sink: Any) -> None:
    task = inference.task
    in_context = _in_context(task, rows, inference.tokenizer)
    with counting("predict", total, "rows") as counter:
        while block := list(islice(in_context, BLOCK)):
            examples = [task.example_schema.empty_table()]
            owners: list[int] = []
            lines: dict[int, list[Any]] = {}
            for number, (row, contexts) in enumerate(block):
                place = f"row {counter.done + number + 1}"
                if isinstance(row, Rejected):
                    lines[number] = [{"error": f"{place}: {row.reason}"}]
                    continue
                try:
                    encoded = task.encode(next(contexts), inference.tokenizer)
                    examples.append(pa.Table.from_pylist(encoded, task.example_schema))
                except Exception as error:
                    lines[number] = [{"error": f"{place}: {refusal(error)}"}]
                else:
                    owners += [number for example in encoded if not example.get(WINDOW)]
            mapped = MappedExamples([pa.concat_tables(examples)])
            answers = inference.predict([mapped[i] for i in range(len(mapped))])
            for number, answer in zip(owners, answers, strict=True):
                row = block[number][0]
                assert isinstance(row, tables.Line)
                lines.setdefault(number, []).append({**_repeated(task, row.cells), **answer})
            for number in sorted(lines):
                for line in lines[number]:
                    print(json.dumps(line, ensure_ascii=False, default=str), file=sink)
            counter.advance(len(block))


def _in_context(
    task: Task, rows: Iterable[tables.Line | Rejected], tokenizer: PreTrainedTokenizerBase
) -> Iterator[tuple[tables.Line | Rejected, Iterator[Row]]]:
    """Each row, beside what next gives it as the task encodes it. No more rows are held than a document has."""
    for together in _documents(rows) if task.looks_around else ([row] for row in rows):
        readable = [_readable(row.cells) for row in together if isinstance(row, tables.Line)]
        contexts = iter(task.in_context(readable, tokenizer))
        for row in together:
            yield row, contexts


def _documents(rows: Iterable[tables.Line | Rejected]) -> Iterator[list[tables.Line | Rejected]]:
    """Rows that follow one another with the same document; a row without one by itself. A bad row parts none."""
    held: list[tables.Line | Rejected] = []
    before = None
    for row in rows:
        document = row.cells.get("document") if isinstance(row, tables.Line) else before
        if held and (document is None or document != before):
            yield held
            held = []
        held.append(row)
        before = document
    if held:
        yield held


def _readable(cells: Mapping[str, Any]) -> dict[str, Any]:
    """A row as tasks read it: without what is null, and with its id, a number perhaps, as text."""
    row = {name: cell for name, cell in cells.items() if cell is not None}
    return {**row, "id": str(row["id"])} if "id" in row else row


def _repeated(task: Task, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """What of a row stands beside its answer."""
    return row if task.repeats is None else {name: row[name] for name in task.repeats if name in row}


def read_rows(source: Path) -> Iterator[tables.Line | Rejected]:
    """The rows of a table; cells may stand in double quotes in .csv and not in .tsv, as in ReadTable."""
    for path in tables.find_files(str(source)):
        form = tables.Form(quotes=path.suffix == ".csv")
        if path.suffix == ".parquet":
            tables.columns_of(path, form)  # says so where it is none
        for block in tables.cut(path, "test", form):
            for row in tables.rows(block, form):
                if isinstance(row, tables.Line) and path.suffix in (".csv", ".tsv"):
                    row = row._replace(cells={name: cell or None for name, cell in row.cells.items()})
                yield row
