"""MT-DNN: GLUE's tasks learned together by one encoder, then each alone from where that left off.

Paper    Liu et al. 2019, Multi-Task Deep Neural Networks for Natural Language Understanding, arXiv 1901.11504
Command  videobert run text.mt_dnn --folder glue_data
Cost     eight tasks, 5 epochs of BERT-large: days on one GPU; CoLA, SST-2 and RTE with the small BERT of the extra
         "demo": a quarter of an hour on two cores
Expect   the paper, test, BERT-large: GLUE 82.7, MNLI 86.7/86.0, SST-2 95.6. Small sets gain (RTE most), large ones do
         not lose
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from rich.table import Table

from models.tasks import ClassifyPairs, ClassifyText, MultiTask, RankCandidates, ScoreText, Task
from pipeline import Artifact, Graph
from pipeline.progress import CONSOLE
from stages.encode import Encode
from stages.evaluate import Evaluate
from stages.load_encoder import LoadEncoder
from stages.text.group_candidates import GroupCandidates
from stages.text.read_glue import GLUE, Name, ReadGlue
from stages.train import Train
from workflows.text.finetune import finetune, spread, suffixes
from workflows.text.glue import FIGURES, glue_splits

DROPOUT = {"cola": 0.05, "mnli": 0.3}
"""Of the heads, where it is not 0.1."""
TRAIN = Train(task=ClassifyText(), epochs=5, global_batch_size=32, learning_rate=5e-5, optimizer="adamax")


def graph(
    folder: str,
    tasks: tuple[Name, ...] = ("mnli", "cola", "sst2", "qnli", "qqp", "mrpc", "rte", "stsb"),
    encoder: str = "google-bert/bert-base-uncased",
    pairs: Literal["answer_network", "cls"] = "answer_network",
    rank_qnli: bool = False,
    ratios: dict[str, float] = {},  # noqa: B006
    max_tokens: int = 128,
    train: Train = TRAIN,
    tune: Train = replace(TRAIN, epochs=3),
    alone: bool = False,
    seeds: int = 1,
) -> Graph:
    """From GLUE's files to a shared encoder, and from that to a model for each task.

    Args:
        folder: GLUE's folder.
        tasks: Which of its tasks; WNLI is left out, as by the authors.
        encoder: BERT-type encoder: a name on the hub or a directory.
        pairs: What labels pairs of texts: the stochastic answer network, or a linear layer on [CLS].
        rank_qnli: Learn QNLI by ranking the sentences of a question, as the paper does; GLUE has since disallowed it.
            Its accuracy is then that of holding a question's first sentence to be its answer and no other.
        ratios: How often an epoch passes over a task, by name, where that is not once.
        max_tokens: Wordpieces of an example.
        train: The run on all tasks, which follow from the names; where MNLI is among them, its accuracy on dev says
            which weights are kept.
        tune: The run on each task from the shared encoder and the task's head on it.
        alone: Also train each task from the encoder as it was, with the same settings, to compare.
        seeds: Runs on all tasks, each with its own run on each task, and runs from the encoder as it was; of which the
            table shows mean and spread.
    """
    g = Graph()
    single = {name: single_task(name, pairs, rank_qnli, max_tokens) for name in tasks}
    rows = {name: g.add(name, ReadGlue(folder=folder, name=name)) for name in tasks}
    if isinstance(single.get("qnli"), RankCandidates):
        rows["qnli"] = g.add("qnli-questions", GroupCandidates(), rows="qnli")
    shared = MultiTask(single, ratios)
    g.add("encoder", LoadEncoder(encoder=encoder))
    g.add("examples", Encode(task=shared), model="encoder", **rows)
    select_by = train.select_by or ("mnli/accuracy" if "mnli" in tasks else None)
    splits = dict.fromkeys(split for name in tasks for split in glue_splits(name))
    for i, suffix in enumerate(suffixes(seeds)):
        run = replace(train, task=shared, select_by=select_by, seed=train.seed + i)
        model = g.add(f"train{suffix}", run, model="encoder", examples="examples")
        for split in splits:
            evaluation = Evaluate(task=shared, split=split)
            g.add(f"shared-evaluate-{split}{suffix}", evaluation, model=model, examples="examples")
    for name, task in single.items():
        own = replace(tune, group=name)
        further = {"seeds": seeds, "splits": glue_splits(name), "examples": "examples"}
        finetune(g, task, own, encoder, prefix=f"{name}-", start="train", **further)
        if alone:
            finetune(g, task, own, encoder, prefix=f"{name}-alone-", **further)
    return g


def single_task(name: Name, pairs: str, rank_qnli: bool, max_tokens: int) -> Task:
    """A task of GLUE as MT-DNN has it: one text, a pair of texts, their similarity, or a question with candidates."""
    columns = GLUE[name]
    same = {"max_tokens": max_tokens, "dropout": DROPOUT.get(name, 0.1)}
    if not columns.labels:
        return ScoreText(second_first=True, **same)
    if name == "qnli" and rank_qnli:
        return RankCandidates(**same)
    same |= {"labels": columns.labels, "figure": FIGURES.get(name, "accuracy"), "second_first": True}
    return ClassifyPairs(**same) if columns.second and pairs == "answer_network" else ClassifyText(**same)


def report(artifacts: Mapping[str, Artifact]) -> None:
    """Print every task's figures: of the shared model, tuned from it, and trained alone; over several seeds mean ±
    standard deviation."""
    columns = ("shared", "tuned", "alone")
    figures: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for node, artifact in artifacts.items():
        if found := re.fullmatch(r"(\w+?)(-alone)?-evaluate-(\w+?)(-\d+)?", node):
            for figure, value in artifact.manifest["metrics"].items():
                if found[1] == "shared":
                    task, _, figure = figure.partition("/")
                    column = "shared"
                else:
                    task, column = found[1], "alone" if found[2] else "tuned"
                row = figures.setdefault((task, found[3], figure), {name: [] for name in columns})
                row[column].append(value)
    table = Table(box=None, pad_edge=False)
    for column in ("task", "split", "figure"):
        table.add_column(column)
    for column in columns:
        table.add_column(column, justify="right")
    for names, row in sorted(figures.items(), key=lambda item: item[0][:2]):
        table.add_row(*names, *(spread(row[column]) for column in columns))
    CONSOLE.print(table)
