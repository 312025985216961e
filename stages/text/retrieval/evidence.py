"""The scores that a query's candidates have, of the first stage and of their best passages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import Artifact


class Evidence(NamedTuple):
    """One query. N documents that were scored, in descending order of their ids, S best passages."""

    query_id: str
    doc_ids: list[str]
    first_N: np.ndarray
    """The first stage's scores; NaN where it has none."""
    best_NS: np.ndarray
    """Scores of the best passages, descending; NaN where a document has fewer."""
    others: list[str]
    """Documents that were not scored, in the first stage's order."""


def gather(run: Artifact, scored: Sequence[Artifact], n_best: int) -> list[Evidence]:
    """Evidence of every query of a run, in its order. Scores of pairs that are not in the run are left out; a pair that
    is there twice counts once."""
    candidates = run.read(["query_id", "doc_id", "rank", "score"]).combine_chunks()
    scores = pa.concat_tables(s.read(["query_id", "doc_id", "score"]) for s in scored).combine_chunks()
    queries, documents = candidates["query_id"].unique(), candidates["doc_id"].unique()
    pairs = _pairs(candidates, queries, documents)
    once = np.sort(np.unique(pairs, return_index=True)[1])
    candidates, pairs = candidates.take(once), pairs[once]
    order = np.argsort(pairs, kind="stable")
    best_RS = np.full((len(pairs), n_best), np.nan, np.float32)
    keys = _pairs(scores, queries, documents)
    rows = order[np.minimum(np.searchsorted(pairs, keys, sorter=order), len(pairs) - 1)] if len(pairs) else keys
    values = scores["score"].to_numpy()
    known = (keys >= 0) & (pairs[rows] == keys) if len(pairs) else np.zeros(len(keys), bool)
    rows, values = rows[known], values[known]
    descending = np.lexsort((-values, rows))
    rows, values = rows[descending], values[descending]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    best_RS[rows[place < n_best], place[place < n_best]] = values[place < n_best]
    return _by_query(candidates, queries, best_RS)


def _pairs(table: pa.Table, queries: pa.Array, documents: pa.Array) -> np.ndarray:
    """One number for every query and document; negative where one of them is unknown."""
    q = pc.fill_null(pc.index_in(table["query_id"], value_set=queries), -1).to_numpy().astype(np.int64)
    d = pc.fill_null(pc.index_in(table["doc_id"], value_set=documents), -1).to_numpy().astype(np.int64)
    return np.where((q < 0) | (d < 0), -1, q * len(documents) + d)


def _by_query(candidates: pa.Table, queries: pa.Array, best_RS: np.ndarray) -> list[Evidence]:
    first_R = candidates["score"].to_numpy()
    rank_R = pc.fill_null(candidates["rank"], 0).to_numpy()
    query_R = pc.index_in(candidates["query_id"], value_set=queries).to_numpy()
    by_query = np.argsort(query_R, kind="stable")
    starts = np.searchsorted(query_R[by_query], np.arange(len(queries) + 1))
    doc_ids = candidates["doc_id"].to_pylist()
    evidence = []
    for number, query_id in enumerate(queries.to_pylist()):
        rows = by_query[starts[number] : starts[number + 1]]
        has = ~np.isnan(best_RS[rows, 0])
        ids = [doc_ids[r] for r in rows[has]]
        order = sorted(range(len(ids)), key=ids.__getitem__, reverse=True)
        mine = rows[has][order]
        rest = rows[~has][np.argsort(rank_R[rows[~has]], kind="stable")]
        evidence.append(
            Evidence(query_id, [ids[i] for i in order], first_R[mine], best_RS[mine], [doc_ids[r] for r in rest])
        )
    return evidence
