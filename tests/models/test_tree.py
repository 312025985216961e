"""A tree of k-means: its identifiers, what is not split, and what does not change it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from models.codebook import Codebook, Grouped
from models.kmeans import KMeans
from models.points import CHUNK
from models.threads import Threads, one_thread, thread_pool
from models.tree import TreeFit
from tests.models.clouds import cloud, squared_distances


def grow(vectors: np.ndarray, start: Codebook = Codebook((), (), ()), **fields: Any) -> list[Codebook]:
    """The codebook after each level."""
    settings = {"branching": 4, "depth": 3, "min_points": 8, "seed": 0, "kmeans": KMeans(), **fields}
    with thread_pool() as threads:
        fit = TreeFit(threads=threads, **settings)
        return [codebook for codebook, _ in fit.levels(torch.from_numpy(vectors), start)]


def same(one: Codebook, other: Codebook) -> bool:
    pairs = zip((*one.centroids, *one.counts), (*other.centroids, *other.counts), strict=True)
    return one.errors == other.errors and all(a.tobytes() == b.tobytes() for a, b in pairs)


def test_counts_and_errors_are_those_of_the_vectors() -> None:
    vectors = cloud(3000)
    codebook = grow(vectors)[-1]
    assert [len(c) for c in codebook.centroids] == [4, 16, 64]
    assert [c.sum() for c in codebook.counts] == [3000] * 3
    for above, below in zip(codebook.counts, codebook.counts[1:], strict=False):
        np.testing.assert_array_equal(above, below.reshape(-1, 4).sum(1))
    assert codebook.errors[0] > codebook.errors[1] > codebook.errors[2] > 0
    tokens = codebook.assign_tree(vectors)
    np.testing.assert_array_equal(np.bincount(tokens, minlength=64), codebook.counts[-1])
    own = squared_distances(vectors, codebook.leaves())[np.arange(3000), tokens]
    assert codebook.errors[-1] == pytest.approx(own.mean(), rel=1e-5)


def test_leaves_are_the_means_of_their_vectors() -> None:
    vectors = cloud(3000, clusters=64, noise=0.05)
    codebook = grow(vectors, kmeans=KMeans(tolerance=0.0, iterations=100))[-1]
    tokens = codebook.assign_tree(vectors)
    for leaf in np.flatnonzero(~codebook.dead):
        mean = vectors[tokens == leaf].astype(np.float64).mean(0)
        np.testing.assert_allclose(codebook.leaves()[leaf], mean, rtol=1e-4, atol=1e-4)


def test_there_are_always_as_many_identifiers() -> None:
    for n in (1, 5, 40):
        codebook = grow(cloud(n), branching=12, depth=4, min_points=24)[-1]
        assert codebook.leaves().shape == (12**4, 16)
        assert codebook.counts[-1].sum() == n
        assert np.isfinite(codebook.leaves()).all()


def test_small_nodes_go_on_as_their_own_first_child() -> None:
    vectors = cloud(300, clusters=4, noise=0.2)
    codebook = grow(vectors, min_points=200)[-1]
    for node, count in enumerate(codebook.counts[0]):
        assert 0 < count < 200
        leaf = node * 16
        np.testing.assert_array_equal(codebook.counts[2][leaf : leaf + 16], [count] + [0] * 15)
        np.testing.assert_allclose(codebook.leaves()[leaf], codebook.centroids[0][node], rtol=1e-6)
    (codebook, *_) = grow(vectors, min_points=301)
    assert codebook.counts[0].tolist() == [300, 0, 0, 0]
    np.testing.assert_allclose(codebook.centroids[0][0], vectors.astype(np.float64).mean(0), rtol=1e-5)


def test_a_node_of_min_points_is_split() -> None:
    vectors = cloud(24)
    assert (grow(vectors, min_points=24, depth=1)[-1].counts[0] > 0).sum() == 4
    assert (grow(vectors, min_points=25, depth=1)[-1].counts[0] > 0).sum() == 1


def test_dead_nodes_have_the_centroid_of_their_nearest_live_ancestor() -> None:
    vectors = np.repeat(cloud(3), 50, axis=0)
    codebook = grow(vectors)[-1]
    assert (codebook.counts[0] > 0).sum() == 3
    assert (~codebook.dead).sum() == 3
    (dead,) = np.flatnonzero(codebook.counts[0] == 0)
    mean = vectors.astype(np.float64).mean(0)
    np.testing.assert_allclose(codebook.centroids[0][dead], mean, atol=1e-3)
    np.testing.assert_array_equal(codebook.leaves()[dead * 16 : (dead + 1) * 16], codebook.centroids[0][[dead] * 16])
    assert codebook.errors == (0.0, 0.0, 0.0)
    live = sorted(map(tuple, codebook.leaves()[~codebook.dead].tolist()))
    assert live == sorted(map(tuple, cloud(3).astype(np.float32).tolist()))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_bits_do_not_depend_on_threads(threads: int) -> None:
    vectors = cloud(CHUNK + 5000, width=24)
    with one_thread():
        fit = TreeFit(4, 3, 8, 0, KMeans(iterations=5), Threads(1, map))
        *_, (alone, _) = fit.levels(torch.from_numpy(vectors))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert same(alone, grow(vectors, kmeans=KMeans(iterations=5))[-1])
    finally:
        torch.set_num_threads(before)


def test_another_seed_is_another_tree() -> None:
    vectors = cloud(3000, noise=2.0)
    assert same(grow(vectors)[-1], grow(vectors)[-1])
    assert not same(grow(vectors)[-1], grow(vectors, seed=1)[-1])


def test_a_node_does_not_depend_on_its_neighbours() -> None:
    # Two heaps far apart: what happens inside one is the same whatever the other looks like.
    left, right = cloud(800, noise=1.0) - np.float16(50), cloud(800, noise=1.0, seed=1) + np.float16(50)
    one = grow(np.concatenate([left, right]), branching=2, depth=3)[-1]
    other = grow(np.concatenate([left, right + np.float16(1)]), branching=2, depth=3)[-1]
    node = int(one.centroids[0][0, 0] > one.centroids[0][1, 0])
    assert other.centroids[0][node].tobytes() == one.centroids[0][node].tobytes()
    below = slice(node * 4, node * 4 + 4)
    assert one.leaves()[below].tobytes() == other.leaves()[below].tobytes()


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_tree_goes_on_from_any_level(level: int) -> None:
    vectors = np.concatenate([cloud(2000, mean=20.0), np.repeat(cloud(2, seed=3), 30, axis=0)])
    levels = grow(vectors)
    assert same(grow(vectors, start=levels[level - 1])[-1], levels[-1])


def test_the_vectors_come_back_by_leaf() -> None:
    vectors = cloud(1000)
    with thread_pool() as threads:
        fit = TreeFit(4, 3, 8, 0, KMeans(), threads)
        *_, (codebook, tree) = fit.levels(torch.from_numpy(vectors))
    assert isinstance(tree, Grouped)
    np.testing.assert_array_equal(tree.codes(), codebook.assign_tree(vectors))
