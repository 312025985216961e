"""The one Evaluate stage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from models.task_file import load_task
from models.tasks import Task
from models.tasks.multi_task import own_examples
from pipeline import Artifact, Executor, Resources, Stage
from pipeline.progress import say
from pipeline.store import write_json
from stages.examples import MappedExamples, rows_of
from stages.inference import Inference

METRICS = "metrics.json"


@dataclass(frozen=True, kw_only=True)
class Evaluate(Stage):
    """The task's official figures of a trained model on one split.

    In   model: what Train wrote; examples: what Encode wrote for the same task
    Out  metrics.json, also in the manifest; result (JSON): what the figures were computed from. A split without
         examples has no figures.
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"model": (), "examples": ("split",)}
    writes: ClassVar[pa.Schema] = pa.schema([("result", pa.string())])

    task: Task
    """What the model was trained for."""
    split: str = "test"
    """Which examples: train, dev or test."""
    group: str | None = None
    """Of examples of several tasks: the name of the one whose examples are taken."""
    seed: int = 0
    """Seeds what the task draws (masks, negatives)."""

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any]:
        make = partial(Evaluator, inputs["model"].path, self)
        parts = [[p] for p in inputs["examples"].parts]
        executor.map(make, parts, out, schema=self.writes, resources=Resources(gpus=1))
        results = Artifact(out, "").read()["result"].to_pylist()
        task = self.task.adopt(load_task(inputs["model"].path))
        figures = task.metrics(map(json.loads, results)) if results else {}
        for name, value in figures.items():
            say(f"{self.split} {name}: {value:.4f}")
        write_json(out / METRICS, figures)
        return {"metrics": figures}


class Evaluator:
    """Examples in, what the metrics need of them out."""

    def __init__(self, model: Path, stage: Evaluate) -> None:
        self.inference = Inference(model, stage.task)
        self.stage = stage

    def __call__(self, table: pa.Table) -> pa.Table:
        mine = rows_of(table, self.stage.split, self.stage.group)
        task, vocabulary = self.inference.task, self.inference.vocabulary
        examples = MappedExamples([own_examples(table, task, self.stage.group)])
        drawn = [task.draw(examples, int(i), np.random.default_rng([self.stage.seed, i]), vocabulary) for i in mine]
        rows = self.inference.evaluate(drawn)
        return pa.table({"result": pa.array([json.dumps(r) for r in rows], pa.string())})
