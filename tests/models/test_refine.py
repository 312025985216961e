"""Flat steps on a tree's leaves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.kmeans import KMeans
from models.refine import refine
from models.threads import thread_pool
from models.tree import TreeFit
from tests.models.clouds import cloud, squared_distances


def test_refined_leaves_lie_nearer_and_are_means() -> None:
    vectors = cloud(4000, clusters=100, noise=1.0)
    with thread_pool() as threads:
        fit = TreeFit(4, 3, 8, 0, KMeans(), threads)
        *_, (codebook, _) = fit.levels(torch.from_numpy(vectors))
    flat = squared_distances(vectors, codebook.leaves()).min(1).mean()
    assert flat < codebook.errors[-1]
    seen = []
    refined, tree = refine(codebook, torch.from_numpy(vectors), 3, lambda n, note: seen.append(n))
    assert sum(seen) == 4 * len(vectors)
    assert refined.errors[-1] < flat
    tokens = refined.assign_flat(vectors)
    np.testing.assert_array_equal(tree.codes(), tokens)
    np.testing.assert_array_equal(refined.counts[-1], np.bincount(tokens, minlength=64))
    np.testing.assert_array_equal(refined.counts[0], refined.counts[-1].reshape(4, 16).sum(1))
    own = squared_distances(vectors, refined.leaves())[np.arange(len(vectors)), tokens]
    assert refined.errors[-1] == pytest.approx(own.mean(), rel=1e-5)
    assert refined.errors[0] > refined.errors[1] > refined.errors[2]
    weights = refined.counts[-1][:16, None]
    mean = (refined.leaves()[:16].astype(np.float64) * weights).sum(0) / weights.sum()
    np.testing.assert_allclose(refined.centroids[0][0], mean, rtol=1e-5, atol=1e-6)


def test_dead_leaves_stay_dead() -> None:
    vectors = np.repeat(cloud(5), 20, axis=0)
    with thread_pool() as threads:
        *_, (codebook, _) = TreeFit(4, 2, 8, 0, KMeans(), threads).levels(torch.from_numpy(vectors))
    refined, _ = refine(codebook, torch.from_numpy(vectors), 1, lambda n, note: None)
    np.testing.assert_array_equal(refined.dead, codebook.dead)
    np.testing.assert_array_equal(refined.leaves()[~refined.dead], codebook.leaves()[~codebook.dead])
    assert np.isfinite(refined.leaves()).all()
    assert refined.errors[-1] == 0
