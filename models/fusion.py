"""A document's score from the first stage's and those of its best sentences, and the weights that suit training best.

Yang, Zhang and Lin 2019, Simple Applications of BERT for Ad Hoc Document Retrieval, section 3:

    S(d) = alpha * first(d) + (1 - alpha) * (s1 + beta * s2 + gamma * s3)

with s1, s2, s3 the scores of the document's best sentences. Shape suffixes: N documents of a query, S sentences,
C combinations of weights, Q queries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np


class Weights(NamedTuple):
    """One combination."""

    alpha: float
    """Of the first stage's score; the sentences' sum has 1 - alpha."""
    sentences: tuple[float, ...]
    """Of the best sentence, which is 1, the second and so on."""


def combinations(alphas: Sequence[float], others: Sequence[Sequence[float]]) -> list[Weights]:
    """All combinations of alphas and, for each sentence after the best, its weights; in ascending order."""
    return [Weights(alpha, (1.0, *rest)) for alpha, *rest in product(alphas, *others)]


def fill_missing(best_NS: np.ndarray, zero: bool = False) -> np.ndarray:
    """Scores where documents with fewer sentences than S have NaN: the lowest that any document has, as of a sentence
    that says nothing of the query. ``zero``: as castorini/birch, whose sum then leaves them out, so that with logits,
    which are mostly negative, a short document is the better for it.
    """
    lowest = 0.0 if zero or np.isnan(best_NS).all() else np.nanmin(best_NS)
    return np.where(np.isnan(best_NS), lowest, best_NS)


def fuse(first_N: np.ndarray, best_NS: np.ndarray, weights: Sequence[Weights]) -> np.ndarray:
    """S(d) [C, N] under every combination of weights, float64."""
    alpha_C1 = np.array([w.alpha for w in weights])[:, None]
    sentences_CS = np.array([w.sentences for w in weights])
    evidence_CN = (1 - alpha_C1) * (sentences_CS @ best_NS.T.astype(np.float64))
    fused_CN: np.ndarray = evidence_CN + alpha_C1 * first_N if alpha_C1.any() else evidence_CN
    return fused_CN


def average_precision(scores_CN: np.ndarray, relevant_N: np.ndarray, n_relevant: int) -> np.ndarray:
    """AP [C] of the rankings that the scores give, as trec_eval has it.

    The documents come in descending order of their ids, so that a stable sort breaks ties as trec_eval does.

    n_relevant   relevant documents that the query has, found or not; without any AP is 0
    """
    order_CN = np.argsort(-scores_CN.astype(np.float32), axis=1, kind="stable")
    hits_CN = relevant_N[order_CN]
    precision_CN = np.cumsum(hits_CN, axis=1) / np.arange(1, hits_CN.shape[1] + 1)
    ap_C: np.ndarray = (precision_CN * hits_CN).sum(axis=1) / max(n_relevant, 1)
    return ap_C


def tune(ap_QC: np.ndarray, folds_Q: np.ndarray, folds: Iterable[int]) -> dict[int, int]:
    """For each of ``folds`` the combination with the highest mean AP over the queries of all others; of equals the
    first. ValueError where there is no other query."""
    chosen = {}
    for fold in folds:
        others = folds_Q != fold
        if not others.any():
            raise ValueError(f"there is no query outside of fold {fold} to tune the weights on")
        chosen[fold] = int(np.argmax(np.round(ap_QC[others].mean(axis=0), 12)))
    return chosen
