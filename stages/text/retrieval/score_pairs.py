"""What a trained model says of candidates: one number a passage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from models.tasks import JudgeRelevance
from pipeline import Artifact, Executor, Rejected, Resources, Stage, UserError
from stages.encode import check_fit
from stages.inference import Inference
from stages.text.retrieval.schemas import FOLDS, SCORES, folds_of, texts_of
from stages.text.retrieval.texts import Texts


@dataclass(frozen=True, kw_only=True)
class ScorePairs(Stage):
    """Score a query's candidates with BERT, whole or sentence by sentence.

    In   model: what Train wrote for JudgeRelevance; run: candidates; queries: query_id str, text str; passages: doc_id
         str, text str, and perhaps title, or passage int32 where documents have several; folds, where one of them is
         scored: query_id str, fold int32
    Out  query_id str, doc_id str, passage int32, score float32

    Queries and passages are cut into wordpieces once a part, whatever the number of pairs they are in. A document of
    the run that has no passage, and a query that is not there, become an error row each.
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "model": (),
        "run": ("query_id", "doc_id", "rank"),
        "queries": ("query_id", "text"),
        "passages": ("doc_id", "text"),
    }
    writes: ClassVar[pa.Schema] = SCORES

    task: JudgeRelevance = field(default_factory=JudgeRelevance)
    """Lengths, and what a score is."""
    fold: int | None = None
    """The fold whose queries are scored; None scores all."""
    depth: int = 1000
    """Candidates of a query that are scored, by their rank; candidates without a rank are all scored."""

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise UserError("depth must be at least 1")

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        return self.reads if self.fold is None else {**self.reads, "folds": tuple(FOLDS.names)}

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        check_fit(self.task, inputs["model"].path)
        queries = texts_of(inputs["queries"])
        folds = folds_of(inputs["folds"]) if "folds" in inputs else {}
        make = partial(PairScorer, self, inputs["model"].path, queries, folds, tuple(inputs["passages"].parts))
        executor.map(make, [[p] for p in inputs["run"].parts], out, schema=SCORES, resources=Resources(gpus=1))


class PairScorer:
    """Candidates in, the scores of their passages out."""

    def __init__(
        self,
        stage: ScorePairs,
        model: Path,
        queries: Mapping[str, str],
        folds: Mapping[str, int],
        passages: tuple[Path, ...],
    ) -> None:
        self.stage, self.queries, self.folds, self.texts = stage, queries, folds, Texts(passages)
        self.inference = Inference(model, stage.task)

    def __call__(self, run: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        pairs, rejected = self._pairs(run)
        texts = self.texts.of(doc_id for _, doc_id in pairs)
        missing = dict.fromkeys(doc_id for _, doc_id in pairs if doc_id not in texts)
        rejected += [Rejected(doc_id, f"document {doc_id} of the run has no passage to score") for doc_id in missing]
        rows = [(q, d, number, text) for q, d in pairs for number, text in texts.get(d, ())]
        scores = self.scores([(self.queries[q], text) for q, _, _, text in rows])
        columns = [[row[i] for row in rows] for i in range(3)]
        return pa.table([*columns, scores], schema=SCORES), rejected

    def _pairs(self, run: pa.Table) -> tuple[list[tuple[str, str]], list[Rejected]]:
        """Query and document of the candidates that are to be scored; a query that is not there is rejected."""
        pairs = []
        unknown: dict[str, None] = {}
        for query_id, doc_id, rank in zip(*(run[n].to_pylist() for n in ("query_id", "doc_id", "rank")), strict=True):
            if query_id not in self.queries:
                unknown[query_id] = None
            elif self.stage.fold == self.folds.get(query_id) and (rank or 0) <= self.stage.depth:
                pairs.append((query_id, doc_id))
        return pairs, [Rejected(q, f"query {q} of the run is not among the queries") for q in unknown]

    def scores(self, pairs: list[tuple[str, str]]) -> np.ndarray:
        """The score of each query and text, float32."""
        task, tokenizer = self.inference.task, self.inference.tokenizer
        assert isinstance(task, JudgeRelevance)
        vocabulary = self.inference.vocabulary
        queries = list(dict.fromkeys(query for query, _ in pairs))
        texts = list(dict.fromkeys(text for _, text in pairs))
        query_pieces = dict(zip(queries, task.query_pieces(queries, tokenizer), strict=True)) if queries else {}
        text_pieces = dict(zip(texts, task.text_pieces(texts, tokenizer), strict=True)) if texts else {}
        joined = [task.pair(query_pieces[q], text_pieces[t], vocabulary.cls, vocabulary.sep) for q, t in pairs]
        scores = np.empty(len(pairs), np.float32)

        def read(head: Any, encoded: Any, batch: Any, vocabulary: Any) -> list[Any]:
            values: list[Any] = task.scores(head, encoded)[0].tolist()
            return values

        for chunk, values in self.inference.run(joined, read):
            scores[chunk] = values
        return scores
