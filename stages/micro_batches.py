"""How examples are cut into batches of like length, and how a seed is made for each."""

from __future__ import annotations

import numpy as np


def cut(lengths: np.ndarray, max_tokens: int) -> list[np.ndarray]:
    """Positions 0 … n-1 in order of length, cut into runs of at most ``max_tokens`` when padded (but one at least)."""
    order = np.argsort(lengths, kind="stable")
    chunks: list[np.ndarray] = []
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or (end + 1 - start) * lengths[order[end]] > max_tokens:
            chunks.append(order[start:end])
            start = end
    return chunks


def seed_of(*numbers: int) -> int:
    """A seed below 2^63 of its own for every tuple of numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
