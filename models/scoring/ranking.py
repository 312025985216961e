"""Figures of ranked documents: trec_eval's order and measures, and MS MARCO's reciprocal rank."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

MRR = "MRR@"
"""Begins the name of MS MARCO's figure; every other name is one of ir-measures (AP@1000, P@20, nDCG@10, R@100)."""


def trec_order(scores: np.ndarray, doc_ids: Sequence[str]) -> np.ndarray:
    """Positions [n] in trec_eval's order: the highest score first, of equal ones the greater id.

    trec_eval reads scores as float32, so what differs by less is a tie to it, and it does not look at ranks.
    """
    by_id = np.argsort(np.asarray(doc_ids, np.str_), kind="stable")[::-1]
    order: np.ndarray = by_id[np.argsort(-np.asarray(scores, np.float32)[by_id], kind="stable")]
    return order


def reciprocal_rank(ranked: Sequence[str], relevant: Collection[str], cutoff: int = 10) -> float:
    """1 / rank of the first relevant document among the first ``cutoff``, else 0 (``ms_marco_eval.py``)."""
    return next((1.0 / rank for rank, doc_id in enumerate(ranked[:cutoff], 1) if doc_id in relevant), 0.0)


def check_measures(names: Sequence[str]) -> None:
    """ValueError names the first that is not known."""
    import ir_measures

    for name in names:
        try:
            if not name.startswith(MRR):
                ir_measures.parse_measure(name)
            elif int(name.removeprefix(MRR)) < 1:
                raise ValueError("a cutoff is at least 1")
        except (NameError, ValueError, SyntaxError) as error:
            raise ValueError(f"no measure '{name}' (say AP@1000, P@20, nDCG@10, R@100 or MRR@10)") from error


def measure(
    names: Sequence[str], grades: Mapping[str, Mapping[str, int]], ranked: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, float]]:
    """Measure -> query -> value, over every query of ``grades``: one that is not ranked counts 0, as it should.

    grades   query -> document -> grade; relevant from 1 on
    ranked   query -> documents, the best first, ties broken; of one that is there twice the first place counts
    """
    import ir_measures

    ranked = {query_id: list(dict.fromkeys(docs)) for query_id, docs in ranked.items()}

    check_measures(names)
    others = {ir_measures.parse_measure(name): name for name in names if not name.startswith(MRR)}
    values: dict[str, dict[str, float]] = {name: dict.fromkeys(grades, 0.0) for name in names}
    for name in names:
        if name.startswith(MRR):
            for query_id, graded in grades.items():
                relevant = {doc_id for doc_id, grade in graded.items() if grade > 0}
                values[name][query_id] = reciprocal_rank(
                    ranked.get(query_id, ()), relevant, int(name.removeprefix(MRR))
                )
    if others:
        # Providers break ties each in a way of its own: they get scores that have none.
        run = {q: {d: float(-rank) for rank, d in enumerate(docs)} for q, docs in ranked.items() if q in grades}
        plain = {query_id: dict(graded) for query_id, graded in grades.items()}
        for found in ir_measures.iter_calc(list(others), plain, run):
            values[others[found.measure]][found.query_id] = float(found.value)
    return values
