"""How examples are cut into batches of like length, and how a seed is made for each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def cut(lengths: np.ndarray, max_tokens: int, groups: np.ndarray | None = None) -> list[np.ndarray]:
    """Positions 0 … n-1 in order of length, cut into runs of at most ``max_tokens`` when padded (but one at least).

    groups    a name for each; those of different names are never in one run
    """
    order = np.argsort(lengths, kind="stable")
    if groups is not None:
        apart = [order[groups[order] == name] for name in np.unique(groups)]
        return [run for group in apart for run in _runs(group, lengths, max_tokens)]
    return list(_runs(order, lengths, max_tokens))


def _runs(order: np.ndarray, lengths: np.ndarray, max_tokens: int) -> Iterator[np.ndarray]:
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or (end + 1 - start) * lengths[order[end]] > max_tokens:
            yield order[start:end]
            start = end


def seed_of(*numbers: int) -> int:
    """A seed below 2^63 of its own for every tuple of numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
