"""The one Predict stage, and the same for a file of new rows."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from models.task_file import load_task
from models.tasks import Task
from pipeline import Artifact, Executor, Resources, Stage, UserError
from pipeline.progress import counting
from pipeline.store import write_atomically
from stages.examples import MappedExamples
from stages.inference import Inference
from stages.windows import WINDOW

BLOCK = 1024
"""Rows of a file that are answered at a time."""


@dataclass(frozen=True, kw_only=True)
class Predict(Stage):
    """A trained model's answers to encoded examples.

    In   model: what Train wrote; examples: what Encode wrote for the same task
    Out  the task's prediction_schema, a row an example of the split, or a row where the task joins a row's windows
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"model": (), "examples": ("split",)}

    task: Task
    """What the model was trained for."""
    split: str = "test"
    """Which examples: train, dev or test."""

    @property
    def writes(self) -> pa.Schema:
        return self.task.prediction_schema

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        make = partial(Predictor, inputs["model"].path, self.task, self.split)
        parts = [[p] for p in inputs["examples"].parts]
        executor.map(make, parts, out, schema=self.task.prediction_schema, resources=Resources(gpus=1))


class Predictor:
    """Examples in, answers out."""

    def __init__(self, model: Path, task: Task, split: str) -> None:
        self.inference = Inference(model, task)
        self.split = split

    def __call__(self, table: pa.Table) -> pa.Table:
        examples = MappedExamples([table.filter(pa.compute.equal(table["split"], self.split))])
        answers = self.inference.predict([examples[i] for i in range(len(examples))])
        return pa.Table.from_pylist(answers, self.inference.task.prediction_schema)


def predict_file(model_dir: Path, source: Path, out: Path | None) -> None:
    """Answer the rows of a .jsonl, .csv, .tsv or .parquet file, a JSON line each, to ``out`` or standard output.

    A row the task refuses gets a line with its number and the reason under "error".
    """
    try:
        load_task(model_dir)
    except ValueError as error:
        raise UserError(str(error)) from None
    rows = list(read_rows(source))
    inference = Inference(model_dir)
    if out is None:
        _answer(inference, rows, sys.stdout)
    else:
        with write_atomically(out) as temporary, temporary.open("w") as file:
            _answer(inference, rows, file)


def _answer(inference: Inference, rows: list[dict[str, Any]], sink: Any) -> None:
    in_context = iter(inference.task.in_context([_named(row) for row in rows]))
    with counting("predict", len(rows), "rows") as counter:
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            examples: list[dict[str, Any]] = []
            owners: list[int] = []
            errors: dict[int, str] = {}
            for number, row in enumerate(islice(in_context, len(block))):
                try:
                    encoded = inference.task.encode(row, inference.tokenizer)
                except KeyError as error:
                    errors[number] = f"row {start + number + 1} lacks the column {error}"
                except ValueError as error:
                    errors[number] = f"row {start + number + 1}: {error}"
                else:
                    examples += encoded
                    owners += [number for example in encoded if not example.get(WINDOW)]
            answers = MappedExamples([pa.Table.from_pylist(examples, inference.task.example_schema)])
            answered = inference.predict([answers[i] for i in range(len(answers))])
            lines: dict[int, list[Any]] = {n: [{"error": reason}] for n, reason in errors.items()}
            for number, answer in zip(owners, answered, strict=True):
                lines.setdefault(number, []).append({**_repeated(inference.task, block[number]), **answer})
            for number in sorted(lines):
                for line in lines[number]:
                    print(json.dumps(line, ensure_ascii=False), file=sink)
            counter.advance(len(block))


def _named(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with its id, a number perhaps, as text."""
    return {**row, "id": str(row["id"])} if row.get("id") is not None else row


def _repeated(task: Task, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """What of a row stands beside its answer."""
    return row if task.repeats is None else {name: row[name] for name in task.repeats if name in row}


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a table in one of the formats people keep rows in. UserError names the line that is broken."""
    if path.suffix == ".parquet":
        yield from pq.read_table(path).to_pylist()
    elif path.suffix in (".csv", ".tsv"):
        options = pyarrow.csv.ParseOptions(delimiter="\t" if path.suffix == ".tsv" else ",")
        try:
            yield from pyarrow.csv.read_csv(path, parse_options=options).to_pylist()
        except pa.ArrowInvalid as error:
            raise UserError(f"{path}: {error}") from None
    elif path.suffix in (".jsonl", ".json"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.strip():
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise UserError(f"{path}:{number}: not JSON ({error})") from None
                if not isinstance(row, dict):
                    raise UserError(f'{path}:{number}: a row is an object such as {{"text": "..."}}')
                yield row
    else:
        raise UserError(f"{path}: give rows as .jsonl, .csv, .tsv or .parquet")
