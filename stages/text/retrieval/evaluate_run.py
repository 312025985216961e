"""A ranking's official figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from models.scoring.ranking import check_measures, measure, trec_order
from pipeline import Artifact, Executor, Stage, UserError
from pipeline.progress import say
from pipeline.store import write_part

VALUES = pa.schema([("query_id", pa.string()), ("measure", pa.string()), ("value", pa.float64())])


@dataclass(frozen=True, kw_only=True)
class EvaluateRun(Stage):
    """Measure a ranking against judgements, by ir-measures (trec_eval) and MS MARCO's rule of MRR.

    In   run: query_id str, doc_id str, score float64; qrels: judgements
    Out  query_id str, measure str, value float64; the means in the manifest

    Documents are ordered by score as trec_eval orders them, whatever their rank. Every query of the judgements counts;
    one that the run lacks counts 0.
    """

    version: ClassVar[str] = "2"
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "run": ("query_id", "doc_id", "score"),
        "qrels": ("query_id", "doc_id", "grade"),
    }
    writes: ClassVar[pa.Schema] = VALUES

    measures: tuple[str, ...] = ("AP@1000", "P@20", "nDCG@10", "MRR@10")
    """Names as ir-measures has them (AP@1000, P@20, P@30, nDCG@10, R@1000), or MRR@10 for MS MARCO's."""

    def __post_init__(self) -> None:
        try:
            check_measures(self.measures)
        except ValueError as error:
            raise UserError(str(error)) from None

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any]:
        grades: dict[str, dict[str, int]] = {}
        for row in inputs["qrels"].read().to_pylist():
            grades.setdefault(row["query_id"], {})[row["doc_id"]] = row["grade"]
        if not grades:
            raise UserError(f"{inputs['qrels'].path}: has no judgement")
        ranked = rankings(inputs["run"])
        lacking = len(grades.keys() - ranked.keys())
        if lacking:
            say(f"{lacking:,} of {len(grades):,} judged queries are not in the run and count 0")
        values = measure(self.measures, grades, ranked)
        rows = [(query_id, name, value) for name in values for query_id, value in values[name].items()]
        write_part(out / "part-00000.parquet", pa.table(list(zip(*rows, strict=True)), schema=VALUES))
        figures = {m: float(np.mean(list(by_query.values()))) for m, by_query in values.items()}
        for name, value in figures.items():
            say(f"{name}: {value:.4f}")
        return {"metrics": figures, "queries": len(grades), "queries_not_in_run": lacking}


def rankings(run: Artifact) -> dict[str, list[str]]:
    """Query -> documents in trec_eval's order. UserError for candidates without scores."""
    found: dict[str, tuple[list[str], list[float]]] = {}
    table = run.read(["query_id", "doc_id", "score"])
    if table["score"].null_count:
        raise UserError(f"{run.path}: candidates without scores are no ranking")
    for query_id, doc_id, score in zip(*(table[n].to_pylist() for n in table.column_names), strict=True):
        ids, scores = found.setdefault(query_id, ([], []))
        ids.append(doc_id)
        scores.append(score)
    return {q: [ids[i] for i in trec_order(np.array(scores), ids)] for q, (ids, scores) in found.items()}
