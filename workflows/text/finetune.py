"""The five nodes that every text recipe ends with, and the table of its figures."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rich.table import Table

from models.tasks import Task
from pipeline import Artifact, Graph, UserError
from pipeline.progress import CONSOLE
from stages.encode import Encode
from stages.evaluate import Evaluate
from stages.load_encoder import LoadEncoder
from stages.predict import Predict
from stages.train import Train

SPLITS = ("dev", "test")


def finetune(
    g: Graph,
    task: Task,
    train: Train,
    encoder: str,
    seeds: int = 1,
    rows: str = "rows",
    prefix: str = "",
    splits: Sequence[str] = SPLITS,
    start: str = "encoder",
    examples: str | None = None,
    choose_by: str | None = None,
) -> Graph:
    """Add all that follows the node ``rows``: encoder, examples, train, evaluate-dev, evaluate-test, predictions.

    Several ``seeds`` share encoder and examples; the other nodes are then ``train-0``, ``evaluate-test-0``,
    ``predictions-0`` and so on. A split without rows has no figures and no predictions.

    task     whose examples, head and figures; replaces ``train.task``
    train    the training run; run i has the seed ``train.seed + i``
    encoder  a model of the hub or a directory; not used where the graph has a node ``encoder``
    prefix   what the names of these nodes begin with (but ``encoder``), for a graph with several recipes
    splits   those with a node ``evaluate-<split>``; a further one for test, ``test_x``, also has ``predictions_x``
    start    the node whose encoder training starts from, where that is a trained model; of several seeds each from its
             own, ``<start>-0``, where there are such
    examples the node with the examples, where there is one; ``train.group`` says which of several tasks' are taken
    choose_by figure of the dev split, where there is one, whose best weights are kept if ``train`` names none
    """
    runs = suffixes(seeds)
    if "encoder" not in g:
        g.add("encoder", LoadEncoder(encoder=encoder))
    if examples is None:
        examples = g.add(f"{prefix}examples", Encode(task=task), rows=rows, model="encoder")
    for i, suffix in enumerate(runs):
        run = replace(train, task=task, seed=train.seed + i, select_by=train.select_by or choose_by)
        own = f"{start}{suffix}"
        model = g.add(f"{prefix}train{suffix}", run, model=own if own in g else start, examples=examples)
        inputs = {"model": model, "examples": examples}
        for split in splits:
            g.add(f"{prefix}evaluate-{split}{suffix}", Evaluate(task=task, split=split, group=run.group), **inputs)
            if split.startswith("test"):
                name = f"{prefix}predictions{split.removeprefix('test')}{suffix}"
                g.add(name, Predict(task=task, split=split, group=run.group), **inputs)
    return g


def suffixes(seeds: int) -> list[str]:
    """What the names of each seed's nodes end with: ``-0``, ``-1`` and so on, or nothing where there is one seed."""
    if seeds < 1:
        raise UserError("seeds must be at least 1")
    return [f"-{i}" for i in range(seeds)] if seeds > 1 else [""]


def report(artifacts: Mapping[str, Artifact]) -> None:
    """Print the figures of every node that evaluates; over several seeds mean ± standard deviation."""
    columns: dict[str, list[Mapping[str, float]]] = {}
    for name, artifact in artifacts.items():
        if artifact.manifest["stage"] == Evaluate.__name__ and artifact.manifest["metrics"]:
            columns.setdefault(re.sub(r"-\d+$", "", name).replace("evaluate-", ""), []).append(
                artifact.manifest["metrics"]
            )
    print_figures(columns)
    for name, artifact in artifacts.items():
        if artifact.manifest["stage"] == Predict.__name__ and artifact.manifest["rows"]:
            CONSOLE.print(f"{name}: {artifact.path}", soft_wrap=True)


def print_figures(columns: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    """Print a row a figure; of each column's runs, one a seed, mean ± standard deviation."""
    seeds = max(map(len, columns.values()), default=1)
    table = Table(title=f"mean ± standard deviation of {seeds} seeds" if seeds > 1 else None, box=None, pad_edge=False)
    table.add_column("figure")
    for column in columns:
        table.add_column(column, justify="right")
    for figure in dict.fromkeys(f for runs in columns.values() for run in runs for f in run):
        table.add_row(figure, *(spread([run[figure] for run in runs if figure in run]) for runs in columns.values()))
    CONSOLE.print(table)


def spread(values: list[float]) -> str:
    """``0.9614 ± 0.0031``: the mean and, of several, the sample standard deviation."""
    if not values:
        return ""
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return f"{mean:.4f}"
    return f"{mean:.4f} ± {math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)):.4f}"
