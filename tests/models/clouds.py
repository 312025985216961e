"""Vectors with known clusters."""

from __future__ import annotations

import numpy as np


def cloud(
    n: int, width: int = 16, clusters: int = 40, seed: int = 0, noise: float = 0.5, mean: float = 0.0
) -> np.ndarray:
    """Vectors float16 [n, width] around normal centres."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, width)) + mean
    return (centres[rng.integers(clusters, size=n)] + noise * rng.normal(size=(n, width))).astype(np.float16)


def squared_distances(vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """[n, k] in float64."""
    x, c = vectors.astype(np.float64), centroids.astype(np.float64)
    return np.stack([np.square(x - one).sum(1) for one in c], axis=1)
