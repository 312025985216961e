"""Extractive summaries with BERTSUM, beside the lead and the greedy oracle.

Paper    Liu 2019, Fine-tune BERT for Extractive Summarization, arXiv 1903.10318
Command  videobert run text.bertsum --shards cnndm/
Cost     the paper: 50,000 steps of some 36 of CNN/DailyMail's 287,000 articles, on three GPUs
Expect   there, ROUGE-1/2/L 43.25/20.24/39.63 with the Transformer between sentences, 43.23/20.22/39.60 with the linear
         layer, 43.22/20.17/39.59 with the LSTM; lead-3 40.42/17.62/36.67. Others' runs are up to 0.25 below

The paper averages the scores of the three checkpoints that are best on dev; here the best one is taken. Its loss is the
sum over a batch's sentences, and no gradient is clipped; here it is their mean, clipped at the norm of 1. Adam's steps
do not depend on the factor, but with a sum a batch of more sentences weighs more.

A set too small to keep a part of it aside is tested in folds: ``--articles article/ --summaries summary/ --folds 5``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

from rich.table import Table

from models.scoring.rouge import ROUGE
from models.tasks import ExtractiveSummary
from models.tasks.extractive_summary import SYSTEMS
from pipeline import Artifact, Graph, UserError
from pipeline.progress import CONSOLE
from stages.evaluate import Evaluate
from stages.text.fold_rows import FoldRows
from stages.text.read_summary_pairs import ReadSummaryPairs
from stages.text.read_summary_shards import ReadSummaryShards
from stages.train import Train
from workflows.text.finetune import finetune, spread

NAMES = dict(zip(SYSTEMS, ("model", "lead", "oracle"), strict=True))


def graph(
    shards: str | None = None,
    articles: str | None = None,
    summaries: str | None = None,
    headline: bool = False,
    lines: Literal["sentences", "paragraphs"] = "sentences",
    folds: int = 0,
    encoder: str = "google-bert/bert-base-uncased",
    seeds: int = 1,
    train: Train = Train(
        task=ExtractiveSummary(),
        steps=50_000,
        global_batch_size=36,
        learning_rate=2e-5,
        schedule="inverse_square_root",
        warmup=0.2,
        epsilon=1e-9,
        weight_decay=0.0,
    ),
) -> Graph:
    """From documents with summaries to a trained summariser, its ROUGE and its summaries of the test documents.

    Args:
        shards: nlpyang/BertSum's JSON shards: a folder, or a glob.
        articles: Instead of shards a folder of text files.
        summaries: Folder with a file of the same name for every article.
        headline: Whether the first line of an article is its headline, which is no sentence of it.
        lines: What a line of those files is; paragraphs are cut into sentences.
        folds: Test every document, each on a model trained on the others, in so many folds; 0 keeps the splits read.
        encoder: BERT-type encoder: a name on the hub or a directory.
        seeds: Training runs, of which the table shows mean and spread.
        train: The training run, and with it the task: layer, number of sentences, blocking. Where there is a dev split
            and no other figure is named, the weights with the best ROUGE-L on it are kept.
    """
    g = Graph()
    rows: ReadSummaryShards | ReadSummaryPairs
    if shards and not articles:
        rows = ReadSummaryShards(shards=shards)
    elif articles and summaries and not shards:
        rows = ReadSummaryPairs(articles=articles, summaries=summaries, headline=headline, lines=lines)
    else:
        raise UserError("give either --shards or both --articles and --summaries")
    g.add("rows", rows)
    choose_by = "rougeLsum" if folds or "dev" in rows.splits() else None
    if not folds:
        return finetune(g, train.task, train, encoder, seeds, choose_by=choose_by)
    for test in range(folds):
        fold = g.add(f"fold-{test}", FoldRows(folds=folds, test=test), rows="rows")
        finetune(g, train.task, train, encoder, seeds, rows=fold, prefix=f"{fold}-", choose_by=choose_by)
    return g


def report(artifacts: Mapping[str, Artifact]) -> None:
    """Print the mean ROUGE over the test documents of all folds, and its spread over seeds."""
    documents: dict[int, list[dict[str, float]]] = {}
    by_key = {artifact.key: artifact for artifact in artifacts.values()}  # the store may have been moved
    for artifact in artifacts.values():
        if artifact.manifest["stage"] == Evaluate.__name__ and artifact.manifest["fields"]["split"] == "test":
            model = by_key[artifact.manifest["inputs"]["model"]["key"]]
            rows = map(json.loads, artifact.read()["result"].to_pylist())
            documents.setdefault(model.manifest["fields"]["seed"], []).extend(rows)
    if not any(documents.values()):
        return
    runs = [ExtractiveSummary().metrics(rows) for rows in documents.values()]
    tested = len(next(iter(documents.values())))
    table = Table(title=f"ROUGE F, {tested:,} test documents", title_justify="left", box=None, pad_edge=False)
    for column in ("", *ROUGE):
        table.add_column(column, justify="right" if column else "left")
    for system, name in NAMES.items():
        table.add_row(name, *(spread([run[system + figure] for run in runs]) for figure in ROUGE))
    CONSOLE.print(table)
    for name, artifact in artifacts.items():
        if artifact.manifest["stage"] == "Predict" and artifact.manifest["rows"]:
            CONSOLE.print(f"{name}: {artifact.path}", soft_wrap=True)
