"""A random order that needs no memory: position -> example, by arithmetic alone.

A permutation kept as an array grows with the data and has to be stored to resume. This one is a keyed Feistel network
on the smallest even number of bits that holds n, walked until it lands below n (cycle walking; Black and Rogaway 2002),
so any position of any epoch is known at once, on any worker.
"""

from __future__ import annotations

import numpy as np

ROUNDS = 6


def permute(positions: np.ndarray, n: int, key: int) -> np.ndarray:
    """The images of ``positions`` (int64, each below n) under the permutation of range(n) that ``key`` names."""
    half = max(1, ((n - 1).bit_length() + 1) // 2)
    keys = np.random.SeedSequence([key, n]).generate_state(ROUNDS, np.uint64)
    values = positions.astype(np.uint64)
    outside = np.ones(len(values), bool)
    while outside.any():
        values[outside] = _feistel(values[outside], half, keys)
        outside = values >= n
    return values.astype(np.int64)


def _feistel(values: np.ndarray, half: int, keys: np.ndarray) -> np.ndarray:
    low_bits = np.uint64((1 << half) - 1)
    left, right = values >> np.uint64(half), values & low_bits
    for key in keys:
        left, right = right, left ^ (_mix(right ^ key) & low_bits)
    return (left << np.uint64(half)) | right


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = x ^ (x >> np.uint64(31))
    return mixed
