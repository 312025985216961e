"""The first stage: queries to candidates."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from models.rm3 import expand, may_expand
from models.scoring.ranking import trec_order
from pipeline import Artifact, Executor, Rejected, Stage, UserError
from pipeline.store import read_part
from stages.text.retrieval.index_documents import ANALYSIS, analysis
from stages.text.retrieval.schemas import RUN


@dataclass(frozen=True, kw_only=True)
class Retrieve(Stage):
    """Rank documents by BM25, with the query as it is or expanded by RM3.

    In   queries: query_id str, text str; index: what IndexDocuments wrote
    Out  query_id str, doc_id str, rank int32, score float64; ties broken as trec_eval breaks them

    Only documents that share a word with the query are found. A query of which no word is in the index becomes an
    error row. Source of RM3: models/rm3.py.
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"queries": ("query_id", "text"), "index": ("doc_id", "words")}
    writes: ClassVar[pa.Schema] = RUN

    depth: int = 1000
    """Documents a query."""
    feedback_documents: int = 0
    """Documents at the top whose words expand the query; 0 for no expansion. Anserini's default is 10."""
    feedback_terms: int = 10
    """Words added."""
    query_weight: float = 0.5
    """Weight of the query's own words; the added ones have the rest."""
    queries_per_part: int = 8
    """Queries of a part: what a worker ranks, and later scores, at a time."""

    def __post_init__(self) -> None:
        if self.depth < 1 or self.feedback_documents < 0 or self.feedback_terms < 1 or self.queries_per_part < 1:
            raise UserError("depth, feedback_terms and queries_per_part must be at least 1")
        if not 0 <= self.query_weight <= 1:
            raise UserError("query_weight lies between 0 and 1")

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        queries = inputs["queries"].read(["query_id", "text"]).combine_chunks()
        starts = range(0, queries.num_rows, self.queries_per_part)
        parts = [[queries.slice(start, self.queries_per_part)] for start in starts]
        executor.map(partial(Retriever, self, inputs["index"].path), parts, out, schema=RUN)


class Retriever:
    """Queries in, their candidates out."""

    def __init__(self, stage: Retrieve, index: Path) -> None:
        import bm25s

        self.stage = stage
        loaded = bm25s.BM25.load(index, mmap=True, show_progress=False)
        self.words: dict[str, int] = loaded.vocab_dict
        self.columns: dict[str, Any] = loaded.scores
        self.tokenizer = analysis(**json.loads((index / ANALYSIS).read_text()))
        self.forward = pa.concat_tables(read_part(p) for p in Artifact(index, "").parts)
        self.doc_ids = self.forward["doc_id"].to_numpy()
        self._allowed: np.ndarray | None = None

    def __call__(self, queries: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        found = []
        rejected = []
        for query_id, text in zip(*(queries[name].to_pylist() for name in ("query_id", "text")), strict=True):
            weights = self._weights(text)
            if not weights:
                rejected.append(Rejected(query_id, f"no word of '{text[:60]}' is in the index"))
                continue
            top, scores = self._rank(weights)
            if self.stage.feedback_documents:
                top, scores = self._rank(self._expanded(weights, top, scores))
            n = len(top)
            ranks = np.arange(1, n + 1, dtype=np.int32)
            found.append(pa.table([[query_id] * n, self.doc_ids[top], ranks, scores.astype(np.float64)], schema=RUN))
        return pa.concat_tables([RUN.empty_table(), *found]), rejected

    def _weights(self, text: str) -> Mapping[int, float]:
        """How often each word of the index stands in the query."""
        self.tokenizer.reset_vocab()
        (ids,) = self.tokenizer.tokenize([text], update_vocab=True, show_progress=False, allow_empty=False)
        spelt = {number: word for word, number in self.tokenizer.get_vocab_dict().items()}
        return Counter(self.words[spelt[i]] for i in ids if spelt[i] in self.words)

    def _rank(self, weights: Mapping[int, float]) -> tuple[np.ndarray, np.ndarray]:
        """Positions and scores of the best documents."""
        scores = np.zeros(len(self.doc_ids), np.float32)
        start, data, indices = (self.columns[name] for name in ("indptr", "data", "indices"))
        for word, weight in weights.items():
            column = slice(start[word], start[word + 1])
            scores[indices[column]] += np.float32(weight) * data[column]
        candidates = np.flatnonzero(scores > 0)
        if len(candidates) > self.stage.depth:
            # All that tie with the last one stay in until the order by id decides.
            least = np.partition(scores[candidates], -self.stage.depth)[-self.stage.depth]
            candidates = candidates[scores[candidates] >= least]
        order = trec_order(scores[candidates], self.doc_ids[candidates].tolist())[: self.stage.depth]
        return candidates[order], scores[candidates][order]

    def _expanded(self, weights: Mapping[int, float], top: np.ndarray, scores: np.ndarray) -> dict[int, float]:
        n = self.stage.feedback_documents
        documents = [self.forward["words"][int(d)].as_py() for d in top[:n]]
        return expand(
            weights, documents, scores[:n].tolist(), self.allowed, self.stage.feedback_terms, self.stage.query_weight
        )

    @property
    def allowed(self) -> np.ndarray:
        """By word, whether RM3 may add it [words]."""
        if self._allowed is None:
            frequency = np.diff(self.columns["indptr"])
            self._allowed = np.zeros(len(frequency), bool)
            for word, number in self.words.items():
                if number < len(frequency):
                    self._allowed[number] = may_expand(word, int(frequency[number]), len(self.doc_ids))
        return self._allowed
