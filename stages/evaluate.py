"""The one Evaluate stage."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from models.tasks import Task
from models.tasks.multi_task import own_examples
from pipeline import Artifact, Executor, Resources, Stage
from pipeline.progress import say
from pipeline.store import part_rows, read_part, write_json
from stages.examples import POSITIONS, MappedExamples
from stages.inference import Inference, adopted
from stages.windows import positions_by_row

METRICS = "metrics.json"


@dataclass(frozen=True, kw_only=True)
class Evaluate(Stage):
    """The task's official figures of a trained model on one split.

    In   model: what Train wrote; examples: what Encode wrote for the same task
    Out  metrics.json, also in the manifest; result (JSON): what the figures were computed from. A split without
         examples has no figures.
    """

    version: ClassVar[str] = "3"
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"model": (), "examples": ("split",)}
    writes: ClassVar[pa.Schema] = pa.schema([("result", pa.string())])

    task: Task
    """What the model was trained for."""
    split: str = "test"
    """Which examples: train, dev or test."""
    group: str | None = None
    """Of examples of several tasks: the name of the one whose examples are taken."""
    seed: int = 0
    """Seeds what the task draws (masks, negatives); with Train's seed, it is what Train's evaluations saw."""

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any]:
        task = adopted(self.task, inputs["model"].path)
        parts = inputs["examples"].parts
        examples = MappedExamples((own_examples(read_part(part), task, self.group) for part in parts), out)
        positions = examples.positions_of(self.split, self.group, task.seen)
        starts = np.cumsum([0, *(part_rows(part) for part in parts)])
        blocks = np.split(positions, np.searchsorted(positions, starts[1:]))
        rows = [
            [positions_by_row(task, own_examples(read_part(part), task, self.group), block - start, start)]
            for part, block, start in zip(parts, blocks, starts, strict=False)
        ]
        make = partial(Evaluator, inputs["model"].path, self, parts, out)
        executor.map(make, rows, out, schema=self.writes, by="row", whole=True, resources=Resources(gpus=1))
        results = Artifact(out, "").read()["result"].to_pylist()
        figures = task.metrics(map(json.loads, results)) if results else {}
        for name, value in figures.items():
            say(f"{self.split} {name}: {value:.4f}")
        write_json(out / METRICS, figures)
        for scratch in out.glob(f"*.{POSITIONS}"):
            scratch.unlink()
        return {"metrics": figures}


class Evaluator:
    """Positions of a part's examples in, what the metrics need of them out.

    Examples are drawn as Train draws those of the dev split: from all parts, by a generator of each position's own.
    """

    def __init__(self, model: Path, stage: Evaluate, parts: Sequence[Path], scratch: Path) -> None:
        self.inference = Inference(model, stage.task)
        tables = (own_examples(read_part(part), self.inference.task, stage.group) for part in parts)
        self.examples = MappedExamples(tables, scratch)
        self.seed = stage.seed

    def __call__(self, positions: pa.Table) -> pa.Table:
        task, vocabulary = self.inference.task, self.inference.vocabulary
        drawn = [
            task.draw(self.examples, i, np.random.default_rng([self.seed, i]), vocabulary)
            for i in positions["position"].to_pylist()
        ]
        rows = self.inference.evaluate(drawn)
        return pa.table({"result": pa.array([json.dumps(r) for r in rows], pa.string())})
