"""What the two retrieval recipes share: a test collection with its first stage, and a model for each of its folds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from rich.table import Table

from pipeline import Artifact, Graph, UserError
from pipeline.progress import CONSOLE
from stages.encode import Encode
from stages.load_encoder import LoadEncoder
from stages.text.retrieval.collection_files import TOP1000, find
from stages.text.retrieval.evaluate_run import EvaluateRun
from stages.text.retrieval.index_documents import IndexDocuments
from stages.text.retrieval.rank_documents import RUN_FILE, RankDocuments
from stages.text.retrieval.read_documents import ReadDocuments
from stages.text.retrieval.read_qrels import ReadQrels
from stages.text.retrieval.read_queries import ReadQueries
from stages.text.retrieval.read_run import ReadRun, form_of
from stages.text.retrieval.retrieve import Retrieve
from stages.text.retrieval.sample_pairs import SamplePairs
from stages.text.retrieval.score_pairs import ScorePairs
from stages.train import Train

FIRST = "first stage"


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Where the documents, queries and judgements are, and how the first stage finds documents."""

    documents: str
    """Documents: a file, a folder or a glob; SMART, TREC, JSON lines or TSV, and of MS MARCO the file top1000.dev."""
    queries: str
    """Queries in the same formats."""
    qrels: str
    """Judgements: TREC's, MS MARCO's or Cranfield's columns."""
    run_file: str | None = None
    """First stage brought along: a TREC run file or MS MARCO's top1000.dev; by default BM25 finds the documents."""
    folds: int = 5
    """Folds of the queries: train on all but one, rank that one."""
    numbering: Literal["id", "position"] = "id"
    """What judgements call a query by; position for Cranfield."""
    scale: Literal["rising", "cleverdon", "binary"] = "rising"
    """What grades mean; cleverdon for Cranfield."""
    complete: bool = True
    """Whether a judgement of a query that is not among the queries is an error; otherwise that query counts 0."""
    index: IndexDocuments = field(default_factory=IndexDocuments)
    """BM25's settings."""
    retrieve: Retrieve = field(default_factory=Retrieve)
    """How many documents are found, and whether RM3 expands the queries."""


def add_collection(g: Graph, collection: Collection) -> None:
    """Add the nodes documents, queries, qrels and run, and the first stage's figures where it has scores."""
    c = collection
    g.add("documents", ReadDocuments(documents=c.documents))
    g.add("queries", ReadQueries(queries=c.queries, folds=c.folds, numbering=c.numbering))
    checked = {"queries": "queries"} if c.complete else {}
    g.add("qrels", ReadQrels(qrels=c.qrels, scale=c.scale), **checked)
    if c.run_file:
        g.add("run", ReadRun(run_file=c.run_file))
        if form_of(find(c.run_file)[0]) == TOP1000:
            return
    else:
        g.add("index", c.index, documents="documents")
        g.add("run", c.retrieve, queries="queries", index="index")
    g.add("evaluate-first", EvaluateRun(), run="run", qrels="qrels")


def watches(pairs: str | None, dev: str | None, watch_fold: bool) -> bool:
    """Whether training is watched: with ``pairs`` on those of ``dev``, without them on a fold."""
    if (watch_fold and pairs) or (dev and not pairs):
        raise UserError("training pairs are watched with dev, and without them the folds with watch_fold")
    return watch_fold or dev is not None


def train_one(g: Graph, train: Train, encoder: str, pairs: str, suffix: str = "") -> str:
    """Add encoder, examples and a model trained on the node ``pairs``; returns the model's node."""
    if "encoder" not in g:
        g.add("encoder", LoadEncoder(encoder=encoder))
    examples = g.add(f"examples{suffix}", Encode(task=train.task), rows=pairs, model="encoder")
    return g.add(f"train{suffix}", train, model="encoder", examples=examples)


def train_folds(
    g: Graph, train: Train, encoder: str, pairs: SamplePairs, folds: int, texts: str, watch: bool
) -> list[str]:
    """Add a model for each fold, trained on the judged documents of the others; ``texts`` is the node they are in.

    watch   whether the fold after that one is left out too, to watch training on
    """
    if folds < 2:
        raise UserError("give training pairs, or 2 folds or more, so that no query is ranked by a model trained on it")
    if watch and folds < 3:
        raise UserError("watch_fold needs 3 folds or more: one to rank, one to watch, and others to train on")
    if pairs.hold_out is not None or pairs.dev_fold is not None:
        raise UserError("each model holds out another fold: give watch_fold, and neither hold_out nor dev_fold")
    models = []
    for fold in range(folds):
        sampled = g.add(
            f"pairs-{fold}",
            replace(pairs, hold_out=fold, dev_fold=(fold + 1) % folds if watch else None),
            **{"run": "run", "qrels": "qrels", "queries": "queries", "documents": texts},
        )
        models.append(train_one(g, train, encoder, sampled, f"-{fold}"))
    return models


def rank(g: Graph, models: list[str], score: ScorePairs, ranking: RankDocuments, passages: str) -> None:
    """Add scores, by one model or by one for each fold, the ranking and its figures."""
    inputs = {"run": "run", "queries": "queries"}
    scores = {}
    for i, model in enumerate(models):
        stage, name = (replace(score, fold=i), f"scores-{i}") if len(models) > 1 else (score, "scores")
        scores[f"scores_{i}"] = g.add(name, stage, model=model, passages=passages, **inputs)
    g.add("ranking", replace(ranking, models=len(models)), qrels="qrels", **inputs, **scores)
    g.add("evaluate", EvaluateRun(), run="ranking", qrels="qrels")


def report(artifacts: Mapping[str, Artifact]) -> None:
    """Print the figures of the first stage and of the ranking, and where the run file is."""
    columns = {
        title: artifacts[name].manifest["metrics"]
        for name, title in (("evaluate-first", FIRST), ("evaluate", "ranking"))
        if name in artifacts
    }
    table = Table(box=None, pad_edge=False)
    for column in ("figure", *columns):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for figure in next(iter(columns.values()), {}):
        table.add_row(figure, *(f"{values[figure]:.4f}" for values in columns.values()))
    CONSOLE.print(table)
    if "ranking" in artifacts:
        CONSOLE.print(f"run file: {artifacts['ranking'].path / RUN_FILE}", soft_wrap=True)
