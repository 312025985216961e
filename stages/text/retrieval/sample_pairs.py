"""Training pairs out of judged candidates."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import Artifact, Executor, Rejected, Stage, UserError
from stages.text.retrieval.schemas import FOLDS, PAIRS, folds_of, texts_of
from stages.text.retrieval.texts import Texts

QUERIES = 64
"""Queries a part."""


@dataclass(frozen=True, kw_only=True)
class SamplePairs(Stage):
    """Pair training queries with relevant documents, and with others that the first stage finds.

    In   run: candidates; qrels: judgements; queries: query_id str, text str; documents: doc_id str, text str, and
         perhaps title or passage (the first is taken); folds, where one of them is named: query_id str, fold int32
    Out  id str (query and document), query_id str, query str, text str, label int32, split str

    Of a query that the run has every relevant document is a pair, found or not, and for each come ``negatives``
    candidates without a positive grade. Of the queries of the dev fold every candidate down to ``dev_depth`` is a pair.
    A relevant document that is not in the collection becomes an error row.
    """

    version: ClassVar[str] = "2"
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "run": ("query_id", "doc_id", "rank"),
        "qrels": ("query_id", "doc_id", "grade"),
        "queries": ("query_id", "text"),
        "documents": ("doc_id", "text"),
    }
    writes: ClassVar[pa.Schema] = PAIRS

    hold_out: int | None = None
    """The fold that is not trained on; None trains on all."""
    dev_fold: int | None = None
    """The fold that training is watched on, with split "dev"."""
    dev_depth: int = 50
    """Candidates of a dev query."""
    negatives: int = 4
    """Pairs with a document that is not relevant, for each with one that is."""
    depth: int = 1000
    """Candidates of a query that negatives are drawn from, the best first."""
    seed: int = 0
    """Seeds the negatives."""

    def __post_init__(self) -> None:
        if self.negatives < 1 or self.depth < 1 or self.dev_depth < 1:
            raise UserError("negatives, depth and dev_depth must be at least 1")
        if self.dev_fold is not None and self.dev_fold == self.hold_out:
            raise UserError(f"fold {self.dev_fold} cannot be held out and be watched in training")

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        named = self.hold_out is not None or self.dev_fold is not None
        return {**self.reads, "folds": tuple(FOLDS.names)} if named else self.reads

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        queries = texts_of(inputs["queries"])
        folds = folds_of(inputs["folds"]) if "folds" in inputs else {}
        grades: dict[str, dict[str, int]] = {}
        for row in inputs["qrels"].read().to_pylist():
            grades.setdefault(row["query_id"], {})[row["doc_id"]] = row["grade"]
        make = partial(PairSampler, self, queries, folds, grades, tuple(inputs["documents"].parts))
        run = inputs["run"].read(["query_id", "doc_id", "rank"])
        executor.map(make, [[part] for part in whole_queries(run)], out, schema=PAIRS, by="query_id", whole=True)


class PairSampler:
    """Candidates of some queries in, their training pairs out."""

    def __init__(
        self,
        stage: SamplePairs,
        queries: Mapping[str, str],
        folds: Mapping[str, int],
        grades: Mapping[str, Mapping[str, int]],
        documents: tuple[Path, ...],
    ) -> None:
        self.stage, self.queries, self.folds, self.grades = stage, queries, folds, grades
        self.documents = Texts(documents)

    def __call__(self, run: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        chosen = [row for query_id, found in candidates(run).items() for row in self._chosen(query_id, found)]
        texts = self.documents.of(row["doc_id"] for row in chosen)
        rows = []
        rejected = []
        for row in chosen:
            doc_id = row.pop("doc_id")
            if doc_id in texts:
                rows.append({**row, "text": texts[doc_id][0][1]})
            else:
                rejected.append(Rejected(row["id"], f"document {doc_id} is not in the collection"))
        return pa.Table.from_pylist(rows, PAIRS), rejected

    def _chosen(self, query_id: str, found: list[str]) -> Iterator[dict[str, Any]]:
        stage = self.stage
        text, fold = self.queries.get(query_id), self.folds.get(query_id)
        if not text or (stage.hold_out is not None and fold == stage.hold_out):
            return
        graded = self.grades.get(query_id, {})
        relevant = sorted(doc_id for doc_id, grade in graded.items() if grade > 0)
        split = "dev" if stage.dev_fold is not None and fold == stage.dev_fold else "train"
        if split == "dev":
            pairs = [(doc_id, int(graded.get(doc_id, 0) > 0)) for doc_id in found[: stage.dev_depth]]
        else:
            others = [d for d in found[: stage.depth] if graded.get(d, 0) <= 0]
            draw = np.random.default_rng([stage.seed, *query_id.encode()])
            n = min(len(others), stage.negatives * len(relevant))
            negatives = [others[i] for i in draw.choice(len(others), n, replace=False)] if n else []
            pairs = [*((doc_id, 1) for doc_id in relevant), *((doc_id, 0) for doc_id in negatives)]
        for doc_id, label in pairs:
            names = {"id": f"{query_id} {doc_id}", "query_id": query_id, "doc_id": doc_id, "split": split}
            yield {**names, "query": text, "label": label}


def whole_queries(run: pa.Table) -> Iterator[pa.Table]:
    """The run in parts of some queries each: one read from a file may break off within a query."""
    run = run.combine_chunks()
    codes = pc.dictionary_encode(run["query_id"].combine_chunks()).indices.to_numpy()
    run, codes = run.take(np.argsort(codes, kind="stable")), np.sort(codes)
    starts = np.searchsorted(codes, np.arange(0, codes.max(initial=-1) + 1, QUERIES))
    for start, end in itertools.pairwise([*starts.tolist(), len(codes)]):
        yield run.slice(start, end - start)


def candidates(run: pa.Table) -> dict[str, list[str]]:
    """Query -> its documents in this table, the best first where they are ranked."""
    found: dict[str, list[tuple[int, str]]] = {}
    for query_id, doc_id, rank in zip(*(run[n].to_pylist() for n in ("query_id", "doc_id", "rank")), strict=True):
        found.setdefault(query_id, []).append((rank or 0, doc_id))
    return {query_id: [d for _, d in sorted(ranked, key=lambda pair: pair[0])] for query_id, ranked in found.items()}
