"""Tiny runs of the retrieval stages, for tests/cases.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from transformers import BertTokenizer

from models.encoder import TaskModel
from models.tasks import JudgeRelevance
from pipeline import Artifact, LocalExecutor, Stage
from pipeline.graph import make
from stages.text.read_squad import ReadSquad
from stages.text.retrieval.deal_folds import DealFolds
from stages.text.retrieval.evaluate_run import EvaluateRun
from stages.text.retrieval.index_documents import IndexDocuments
from stages.text.retrieval.pair_questions import PairQuestions
from stages.text.retrieval.rank_documents import RankDocuments
from stages.text.retrieval.read_documents import ReadDocuments
from stages.text.retrieval.read_pairs import ReadPairs
from stages.text.retrieval.read_qrels import ReadQrels
from stages.text.retrieval.read_queries import ReadQueries
from stages.text.retrieval.read_run import ReadRun
from stages.text.retrieval.retrieve import Retrieve
from stages.text.retrieval.sample_pairs import SamplePairs
from stages.text.retrieval.schemas import SCORES
from stages.text.retrieval.score_pairs import ScorePairs
from stages.text.retrieval.split_sentences import SplitSentences
from tests.case import Case, Inputs, artifact
from tests.models.small_encoders import save_encoder
from tests.stages.text.retrieval.tiny_collection import write_collection


def collection_of(folder: Path, *nodes: str) -> Inputs:
    """Finished artifacts of the tiny test collection: documents, queries, folds, qrels, index and run, where named."""
    write_collection(folder / "files")
    stages: dict[str, tuple[Stage, tuple[str, ...]]] = {
        "documents": (ReadDocuments(documents=str(folder / "files/cran.all")), ()),
        "queries": (ReadQueries(queries=str(folder / "files/cran.qry"), numbering="position"), ()),
        "folds": (DealFolds(folds=2), ("queries",)),
        "qrels": (ReadQrels(qrels=str(folder / "files/cranqrel"), scale="cleverdon"), ("queries",)),
        "index": (IndexDocuments(), ("documents",)),
        "run": (Retrieve(queries_per_part=2), ("queries", "index")),
    }
    made: dict[str, Artifact] = {}
    for name, (stage, inputs) in stages.items():
        made[name] = Artifact(folder / name, name)
        make(stage, {i: made[i] for i in inputs}, made[name], LocalExecutor())
    return {name: made[name] for name in nodes}


def read_documents(folder: Path) -> tuple[Stage, Inputs]:
    write_collection(folder)
    (folder / "more.tsv").write_text("x7\tbaked beans\nbroken\n")
    (folder / "cran.qry").unlink()
    (folder / "cranqrel").unlink()
    return ReadDocuments(documents=str(folder)), {}


def read_run(folder: Path) -> tuple[Stage, Inputs]:
    folder.mkdir(exist_ok=True)
    (folder / "run").write_text("1 Q0 2 1 2.5 bm25\n1 Q0 3 2 oops bm25\n2 Q0 5 1 1e-3 bm25\n")
    return ReadRun(run_file=str(folder / "run")), {}


def read_pairs(folder: Path) -> tuple[Stage, Inputs]:
    folder.mkdir(exist_ok=True)
    (folder / "triples.tsv").write_text("leek\tcut the leek\tbake bread\nleek\tonly two\n")
    (folder / "dev.jsonl").write_text('{"query_id": 1, "query": "soup", "text": "stir it", "label": 1}\n')
    return ReadPairs(train=str(folder / "triples.tsv"), dev=str(folder / "dev.jsonl")), {}


def pair_questions(folder: Path) -> tuple[Stage, Inputs]:
    answers = [[{"text": "leek", "start": 20}], [], None]
    row = {"title": "t", "question": "what?", "context": "Stir the soup. Cut a leek.", "split": "train"}
    rows = [{**row, "id": str(i), "answers": a} for i, a in enumerate(answers)]
    return PairQuestions(), {"questions": artifact(folder / "rows", pa.Table.from_pylist(rows, ReadSquad.writes))}


def score_pairs(folder: Path) -> tuple[Stage, Inputs]:
    """By a fresh head on an encoder that nobody has trained."""
    inputs = collection_of(folder, "documents", "queries", "run")
    save_encoder(folder / "encoder")
    TaskModel.start(folder / "encoder", JudgeRelevance(), seed=0).save(folder / "model")
    BertTokenizer.from_pretrained(folder / "encoder").save_pretrained(folder / "model")
    return ScorePairs(), {**inputs, "model": Artifact(folder / "model", "model"), "passages": inputs["documents"]}


def rank_documents(folder: Path) -> tuple[Stage, Inputs]:
    inputs = collection_of(folder, "folds", "qrels", "run")
    run = inputs["run"].read()
    scores = pa.table(
        [run["query_id"], run["doc_id"], [0] * run.num_rows, np.cos(np.arange(run.num_rows))], schema=SCORES
    )
    return RankDocuments(), {**inputs, "scores_0": artifact(folder / "scores", scores)}


RETRIEVAL = [
    Case("read documents", read_documents),
    Case(
        "read queries",
        lambda folder: (
            ReadQueries(queries=str(write_collection(folder) / "cran.qry"), numbering="position"),
            {},
        ),
    ),
    Case("deal folds", lambda folder: (DealFolds(folds=2), collection_of(folder, "queries"))),
    Case("read qrels", lambda folder: (ReadQrels(qrels=str(write_collection(folder) / "cranqrel")), {})),
    Case("read run", read_run),
    Case("read pairs", read_pairs),
    Case("pair questions", pair_questions),
    Case("split sentences", lambda folder: (SplitSentences(), collection_of(folder, "documents"))),
    Case(
        "index documents",
        lambda folder: (IndexDocuments(), collection_of(folder, "documents")),
        leave_out=("params.index.json",),
    ),
    Case("retrieve", lambda folder: (Retrieve(), collection_of(folder, "queries", "index")), tolerance=1e-5),
    Case(
        "retrieve by rm3",
        lambda folder: (Retrieve(feedback_documents=2), collection_of(folder, "queries", "index")),
        tolerance=1e-5,
    ),
    Case(
        "sample pairs",
        lambda folder: (
            SamplePairs(negatives=1, hold_out=1),
            collection_of(folder, "run", "qrels", "queries", "folds", "documents"),
        ),
    ),
    Case("score pairs", score_pairs, tolerance=5e-2, trains=True),
    Case("rank documents", rank_documents, tolerance=1e-5, leave_out=("run.txt",)),
    Case("evaluate run", lambda folder: (EvaluateRun(), collection_of(folder, "run", "qrels")), tolerance=1e-6),
]
