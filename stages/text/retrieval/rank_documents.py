"""The final ranking, from the scores of the first stage and of passages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from models import fusion
from models.scoring.ranking import trec_order
from pipeline import Artifact, Executor, Stage, UserError
from pipeline.progress import counting, say
from pipeline.store import write_part
from stages.text.retrieval.evidence import Evidence, gather
from stages.text.retrieval.run_file import write_run_file
from stages.text.retrieval.schemas import RUN, SCORES, folds_of

TENTHS = tuple(i / 10 for i in range(10))
RUN_FILE = "run.txt"
Choice = tuple[int, float | None]
"""The number of a combination and, where it was chosen among several, its mean AP over the queries it was chosen by."""
FIRST: Choice = (0, None)


@dataclass(frozen=True, kw_only=True)
class RankDocuments(Stage):
    """Rank documents by S(d) = alpha * first + (1 - alpha) * (s1 + beta * s2 + gamma * s3), over their best passages.

    In   run: candidates; folds: query_id str, fold int32; qrels: judgements, where there are weights to choose from;
         scores_0, scores_1 …: what ScorePairs wrote, of one model each
    Out  query_id str, doc_id str, rank int32, score float64; run.txt, the same as a TREC run file; in the manifest each
         fold's weights and their mean AP over the queries of all other folds

    All combinations of alphas, betas and gammas are tried, on stored scores: BERT does not run again. Documents that
    were not scored come after all that were, in the first stage's order. Where scores of a fold come from a model
    trained on the other folds, weights are tuned on scores that no model gave to queries it was trained on.
    Source: Yang, Zhang and Lin 2019, section 3; re-ranking (Nogueira and Cho 2019) is alpha 0 and one passage.
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "run": ("query_id", "doc_id", "rank", "score"),
        "folds": ("query_id", "fold"),
        "qrels": ("query_id", "doc_id", "grade"),
    }
    optional: ClassVar[frozenset[str]] = frozenset({"qrels"})
    writes: ClassVar[pa.Schema] = RUN

    models: int = 1
    """How many models have scored, each its own queries: as many inputs scores_0, scores_1 and so on."""
    sentences: int = 3
    """Best passages of a document that count: 1, 2 or 3."""
    alphas: tuple[float, ...] = TENTHS
    """Weights of the first stage to choose from; 0 leaves it out."""
    betas: tuple[float, ...] = TENTHS
    """Weights of the second best passage to choose from."""
    gammas: tuple[float, ...] = TENTHS
    """Weights of the third best passage to choose from."""
    name: str = "videobert"
    """What the run is called in its file."""
    faithful: bool = False
    """As castorini/birch: a sentence that a document does not have counts 0, and not as the query's lowest score."""

    def __post_init__(self) -> None:
        if self.models < 1:
            raise UserError("models must be at least 1")
        if self.sentences not in (1, 2, 3):
            raise UserError("sentences must be 1, 2 or 3")
        if not (self.alphas and self.betas and self.gammas):
            raise UserError("alphas, betas and gammas each need a weight")
        if not all(0 <= alpha <= 1 for alpha in self.alphas):
            raise UserError("alphas lie between 0 and 1")

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        return {**self.reads, **{f"scores_{i}": tuple(SCORES.names) for i in range(self.models)}}

    @property
    def weights(self) -> list[fusion.Weights]:
        """What there is to choose from."""
        return fusion.combinations(self.alphas, (self.betas, self.gammas)[: self.sentences - 1])

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any]:
        evidence = gather(inputs["run"], [inputs[f"scores_{i}"] for i in range(self.models)], self.sentences)
        if any(self.alphas) and any(np.isnan(e.first_N).any() for e in evidence):
            raise UserError("the candidates have no scores of a first stage: give alphas [0]")
        folds = folds_of(inputs["folds"])
        chosen = dict.fromkeys(sorted(set(folds.values())), FIRST)
        if len(self.weights) > 1:
            chosen = self._tuned(inputs, evidence, folds)
        ranked = [RUN.empty_table()]
        for one in evidence:
            number, _ = chosen.get(folds.get(one.query_id, -1), FIRST)
            ranked.append(self._ranked(one, self.weights[number]))
        table = pa.concat_tables(ranked).combine_chunks()
        write_part(out / "part-00000.parquet", table)
        write_run_file(out / RUN_FILE, table, self.name)
        return {"weights": [self._told(fold, *choice) for fold, choice in chosen.items()]}

    def _tuned(
        self, inputs: Mapping[str, Artifact], evidence: list[Evidence], folds: Mapping[str, int]
    ) -> dict[int, Choice]:
        """For each fold which combination, and its mean AP over the judged queries of all other folds."""
        if "qrels" not in inputs:
            raise UserError("weights to choose from need the input 'qrels', or give one alpha, one beta and one gamma")
        relevant: dict[str, set[str]] = {}
        for row in inputs["qrels"].read().to_pylist():
            relevant.setdefault(row["query_id"], set())
            if row["grade"] > 0:
                relevant[row["query_id"]].add(row["doc_id"])
        judged = [e for e in evidence if e.query_id in relevant and e.query_id in folds]
        ap_QC = np.zeros((len(judged), len(self.weights)))
        with counting("weights", len(judged), "queries") as counter:
            for row, one in zip(ap_QC, judged, strict=True):
                wanted = relevant[one.query_id]
                is_relevant_N = np.array([doc_id in wanted for doc_id in one.doc_ids])
                row[:] = fusion.average_precision(self._fused(one, self.weights), is_relevant_N, len(wanted))
                counter.advance(1)
        folds_Q = np.array([folds[e.query_id] for e in judged])
        try:
            best = fusion.tune(ap_QC, folds_Q, sorted(set(folds.values())))
        except ValueError as error:
            raise UserError(f"{error}: deal the queries into 2 folds or more, or give one of each weight") from error
        return {fold: (c, float(ap_QC[folds_Q != fold, c].mean())) for fold, c in best.items()}

    def _fused(self, one: Evidence, weights: list[fusion.Weights]) -> np.ndarray:
        return fusion.fuse(one.first_N, fusion.fill_missing(one.best_NS, self.faithful), weights)

    def _ranked(self, one: Evidence, weights: fusion.Weights) -> pa.Table:
        (fused_N,) = self._fused(one, [weights])
        order = trec_order(fused_N, one.doc_ids)
        doc_ids = [one.doc_ids[i] for i in order] + one.others
        scores = fused_N[order]
        lowest = scores[-1] if len(scores) else 0.0
        scores = np.concatenate([scores, lowest - np.arange(1, len(one.others) + 1)])
        n = len(doc_ids)
        return pa.table([[one.query_id] * n, doc_ids, np.arange(1, n + 1, dtype=np.int32), scores], schema=RUN)

    def _told(self, fold: int, number: int, ap: float | None) -> dict[str, Any]:
        """A choice, for the manifest; it is also said where it was made."""
        alpha, sentences = self.weights[number]
        told: dict[str, Any] = {"fold": fold, "alpha": alpha, "sentences": list(sentences), "train_AP": ap}
        if ap is not None:
            say(f"fold {fold}: alpha {alpha:g}, sentences {list(sentences)}, mean AP on the others {ap:.4f}")
        return told
