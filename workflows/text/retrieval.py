"""What the two retrieval recipes share: a test collection with its first stage, and a model for each of its folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from models.tasks import JudgeRelevance
from pipeline import Artifact, Graph, UserError
from pipeline.progress import CONSOLE
from stages.encode import Encode
from stages.load_encoder import LoadEncoder
from stages.text.retrieval.collection_files import TOP1000, find, kind_of
from stages.text.retrieval.deal_folds import DealFolds
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
from workflows.text.finetune import print_figures, suffixes

FIRST = "evaluate-first"
"""The node with the first stage's figures."""


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
    complete: bool | None = None
    """Whether a judgement of a query that is not among the queries is an error; otherwise that query counts 0. By
    default it is, but not where the queries are those of MS MARCO's top1000, which lacks some that its rule counts."""
    index: IndexDocuments = field(default_factory=IndexDocuments)
    """BM25's settings."""
    retrieve: Retrieve = field(default_factory=Retrieve)
    """How many documents are found, and whether RM3 expands the queries."""

    @property
    def scored(self) -> bool:
        """Whether the first stage says how it comes to its order."""
        return not self.run_file or form_of(find(self.run_file)[0]) != TOP1000


def add_collection(g: Graph, collection: Collection) -> None:
    """Add the nodes documents, queries, folds, qrels and run, and the first stage's figures where it has scores."""
    c = collection
    g.add("documents", ReadDocuments(documents=c.documents))
    g.add("queries", ReadQueries(queries=c.queries, numbering=c.numbering))
    g.add("folds", DealFolds(folds=c.folds), queries="queries")
    complete = kind_of(find(c.queries)[0]) != "top1000" if c.complete is None else c.complete
    checked = {"queries": "queries"} if complete else {}
    g.add("qrels", ReadQrels(qrels=c.qrels, scale=c.scale), **checked)
    if c.run_file:
        g.add("run", ReadRun(run_file=c.run_file))
    else:
        g.add("index", c.index, documents="documents")
        g.add("run", c.retrieve, queries="queries", index="index")
    if c.scored:
        g.add(FIRST, EvaluateRun(), run="run", qrels="qrels")


def watches(pairs: str | None, dev: str | None, watch_fold: bool) -> bool:
    """Whether training is watched: with ``pairs`` on those of ``dev``, without them on a fold."""
    if (watch_fold and pairs) or (dev and not pairs):
        raise UserError("training pairs are watched with dev, and without them the folds with watch_fold")
    return watch_fold or dev is not None


def sample_folds(g: Graph, collection: Collection, pairs: SamplePairs, watch: bool) -> list[str]:
    """Add training pairs for each fold, of the judged documents of the others; returns their nodes.

    watch   whether the fold after that one is left out too, to watch training on
    """
    folds = collection.folds
    if folds < 2:
        raise UserError("give training pairs, or 2 folds or more, so that no query is ranked by a model trained on it")
    if watch and folds < 3:
        raise UserError("watch_fold needs 3 folds or more: one to rank, one to watch, and others to train on")
    if pairs.hold_out is not None or pairs.dev_fold is not None:
        raise UserError("each model holds out another fold: give watch_fold, and neither hold_out nor dev_fold")
    inputs = {name: name for name in ("run", "qrels", "queries", "documents", "folds")}
    return [
        g.add(f"pairs-{fold}", replace(pairs, hold_out=fold, dev_fold=(fold + 1) % folds if watch else None), **inputs)
        for fold in range(folds)
    ]


def train_and_rank(
    g: Graph,
    collection: Collection,
    pairs: Sequence[str],
    train: Train,
    encoder: str,
    seeds: int,
    depth: int,
    ranking: RankDocuments,
    passages: str,
) -> Graph:
    """Add all that follows training pairs: encoder, examples, models, scores, ranking and its figures.

    Of several ``pairs``, one a fold, each model scores the queries of its own. The nodes of fold f and, of several
    ``seeds``, seed s are ``train-f-s``, ``scores-f-s`` and ``ranking-s``; seeds share encoder and examples.

    pairs     nodes with training pairs
    train     the training run and with it the task, also that of the scores; run s has the seed ``train.seed + s``
    depth     candidates of a query that are scored
    passages  the node with the texts that are scored
    """
    runs = suffixes(seeds)
    if collection.folds < 2 and len(ranking.weights) > 1:
        raise UserError("a fold's weights are chosen on the other folds: give 2 folds or more, or one of each weight")
    if any(ranking.alphas) and not collection.scored:
        raise UserError(f"the candidates of {collection.run_file} have no scores of a first stage: give alphas [0]")
    if not isinstance(train.task, JudgeRelevance):
        raise UserError(f"the task {type(train.task).__name__} does not score texts by a query: give JudgeRelevance")
    g.add("encoder", LoadEncoder(encoder=encoder))
    several = len(pairs) > 1
    parts = [f"-{fold}" for fold in range(len(pairs))] if several else [""]
    for part, rows in zip(parts, pairs, strict=True):
        g.add(f"examples{part}", Encode(task=train.task), rows=rows, model="encoder")
    inputs = {name: name for name in ("run", "queries", *(["folds"] if several else []))}
    for seed, suffix in enumerate(runs):
        run = replace(train, seed=train.seed + seed)
        scores = {}
        for fold, part in enumerate(parts):
            model = g.add(f"train{part}{suffix}", run, model="encoder", examples=f"examples{part}")
            score = ScorePairs(task=train.task, depth=depth, fold=fold if several else None)
            name = f"scores{part}{suffix}"
            scores[f"scores_{fold}"] = g.add(name, score, model=model, passages=passages, **inputs)
        ranked = replace(ranking, models=len(pairs))
        g.add(f"ranking{suffix}", ranked, run="run", folds="folds", qrels="qrels", **scores)
        g.add(f"evaluate{suffix}", EvaluateRun(), run=f"ranking{suffix}", qrels="qrels")
    return g


def report(artifacts: Mapping[str, Artifact]) -> None:
    """Print the figures of the first stage and of the ranking, over several seeds mean ± standard deviation, and where
    the run files are."""
    columns: dict[str, list[Mapping[str, float]]] = {}
    for name, artifact in artifacts.items():
        if artifact.manifest["stage"] == EvaluateRun.__name__:
            columns.setdefault("first stage" if name == FIRST else "ranking", []).append(artifact.manifest["metrics"])
    print_figures(columns)
    for name, artifact in artifacts.items():
        if artifact.manifest["stage"] == RankDocuments.__name__:
            CONSOLE.print(f"{name}, run file: {artifact.path / RUN_FILE}", soft_wrap=True)
