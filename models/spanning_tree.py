"""The best dependency tree of a sentence: a maximum spanning tree in which one word hangs from the root."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ufal.chu_liu_edmonds import chu_liu_edmonds


def maximum_spanning_tree(scores_WH: np.ndarray, single_root: bool = True) -> np.ndarray:
    """Heads [W] int64 of the tree with the largest sum of scores; 0 is the root, word i (from 0) is head i + 1.

    scores_WH     [W, W + 1]: row i holds the score of every head of word i; its own column is not looked at
    single_root   exactly one word has head 0, as Universal Dependencies demands

    ValueError where a score is not a number. Minus infinity counts as a very bad arc, not as none, so that there
    always is a tree.
    """
    n = len(scores_WH)
    if scores_WH.shape != (n, n + 1):
        raise ValueError(f"scores of {n} words must be [{n}, {n + 1}], not {list(scores_WH.shape)}")
    scores = scores_WH.astype(np.float64)
    scores[np.arange(n), np.arange(1, n + 1)] = np.nan
    arcs = ~np.isnan(scores)
    if arcs.sum() != n * n:
        raise ValueError("a score is not a number")
    finite = scores[arcs & np.isfinite(scores)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
    np.copyto(scores, low - n * (high - low) - 1, where=np.isneginf(scores))

    best: np.ndarray = np.nanargmax(scores, axis=1)
    if is_tree(best) and (not single_root or (best == 0).sum() == 1):
        return best  # every word has its best head
    heads = _chu_liu_edmonds(scores)
    if single_root and (heads == 0).sum() > 1:
        # Chu-Liu-Edmonds knows nothing of a single root. A toll on every arc of the root that outweighs whatever a
        # second one gains makes the best tree of all the best with one (Stanojević and Cohen 2021, section 3).
        scores[:, 0] -= n * (np.nanmax(scores) - np.nanmin(scores)) + 1
        heads = _chu_liu_edmonds(scores)
    return heads


def is_tree(heads: Sequence[int] | np.ndarray) -> bool:
    """Whether every word's chain of heads ends at the root."""
    good = np.zeros(len(heads) + 1, bool)
    good[0] = True
    for word in range(1, len(heads) + 1):
        chain: list[int] = []
        while not good[word]:
            if len(chain) > len(heads):
                return False
            chain.append(word)
            word = int(heads[word - 1])
        good[chain] = True
    return True


def _chu_liu_edmonds(scores_WH: np.ndarray) -> np.ndarray:
    n = len(scores_WH)
    square = np.full((n + 1, n + 1), np.nan)
    square[1:] = scores_WH
    heads, _ = chu_liu_edmonds(square)
    return np.asarray(heads[1:], np.int64)
