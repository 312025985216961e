"""One k-means: as good as scikit-learn's, the same on any number of threads, and right on degenerate data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from models.kmeans import KMeans, nearest
from models.points import BLOCK, CHUNK, Points
from models.threads import one_thread
from tests.models.clouds import cloud, squared_distances


def points(vectors: np.ndarray) -> Points:
    return Points(torch.from_numpy(vectors))


def live(centroids: torch.Tensor) -> np.ndarray:
    return centroids[~centroids.isinf().any(1)].numpy()


# ------------------------------------------------------------------------------------------------ quality


@pytest.mark.parametrize(
    ("n", "noise"),
    [
        pytest.param(700, 0.5, id="the sample is all there is"),
        pytest.param(2 * CHUNK + 700, 0.5, id="several chunks"),
        pytest.param(3000, 3.0, id="no clusters to speak of"),
    ],
)
def test_inertia_is_scikit_learns_but_for_a_hundredth_or_two(n: int, noise: float) -> None:
    """Two by default; one where Lloyd's steps go on as long as there."""
    from sklearn.cluster import KMeans as Reference

    ratios: dict[float, list[float]] = {1.02: [], 1.01: []}
    for seed in range(8):
        vectors = cloud(n, seed=seed, noise=noise)
        reference = Reference(12, n_init=5, random_state=seed).fit(vectors.astype(np.float64))
        for kmeans, found in zip((KMeans(), KMeans(tolerance=1e-5, iterations=100)), ratios.values(), strict=True):
            with one_thread():
                centroids = kmeans.fit(points(vectors), 12, (seed,)).numpy()
            found.append(squared_distances(vectors, centroids).min(1).sum() / reference.inertia_)
    for most, found in ratios.items():
        assert np.mean(found) <= most
        assert max(found) <= most + 0.02  # each end is a local minimum, and either side may be the lucky one


def test_clusters_far_apart_are_all_found() -> None:
    vectors = cloud(5000, clusters=12, noise=0.01, seed=3)
    centroids = KMeans().fit(points(vectors), 12, (0,)).numpy()
    labels, error = nearest(points(vectors), torch.from_numpy(centroids))
    assert error / len(vectors) == pytest.approx(16 * 0.01**2, rel=0.1)
    means = np.stack([vectors[labels == j].astype(np.float64).mean(0) for j in range(12)])
    np.testing.assert_allclose(centroids, means, rtol=1e-6, atol=1e-6)


def test_a_large_common_mean_costs_no_digits() -> None:
    small = cloud(4000, clusters=12, noise=0.05, seed=1).astype(np.float32)
    shifted = small + np.float32(1000)
    small = shifted - np.float32(1000)  # what is left of it beside 1000
    centroids = KMeans().fit(points(shifted), 12, (0,)).numpy()
    labels, _ = nearest(points(shifted), torch.from_numpy(centroids))
    exact = squared_distances(small, centroids.astype(np.float64) - 1000)
    assert (labels == exact.argmin(1)).mean() > 0.999
    assert exact.min(1).mean() == pytest.approx(16 * 0.05**2, rel=0.1)


def test_means_of_many_chunks_are_exact() -> None:
    """Sums of 8,192 float16 values between 1024 and 2047 fit float32; those of forty chunks do not."""
    rng = np.random.default_rng(0)
    vectors = rng.integers(1024, 1300, size=(40 * CHUNK + 5, 6)).astype(np.float16)
    vectors[::2] += 700
    centroids = KMeans(restarts=1).fit(points(vectors), 2, (0,)).numpy()
    labels, _ = nearest(points(vectors), torch.from_numpy(centroids))
    means = np.stack([vectors[labels == j].mean(0, dtype=np.float64) for j in range(2)])
    np.testing.assert_array_equal(centroids, means.astype(np.float32))
    centroid = KMeans().fit(points(vectors), 1, (0,)).numpy()
    np.testing.assert_array_equal(centroid, vectors.mean(0, dtype=np.float64).astype(np.float32)[None])


def test_float32_within_a_chunk_loses_less_than_float16_did() -> None:
    """Where it loses most: a sum that large values make large before the small ones come."""
    vectors = np.full((CHUNK, 3), 1000.5, np.float16)
    vectors[1::2] = np.float16(0.3)
    vectors[CHUNK // 2 :, 1] = np.float16(0.3)
    vectors[:, 2] = np.random.default_rng(0).normal(size=CHUNK)
    exact = vectors.mean(0, dtype=np.float64)
    vectors = np.concatenate([vectors, np.full((CHUNK, 3), -60_000, np.float16)])
    centroids = KMeans().fit(points(vectors), 2, (0,)).numpy()
    lost = np.abs(centroids[centroids[:, 0].argmax()] - exact)
    assert (lost <= 2.0**-12 * np.abs(vectors[:CHUNK]).max(0)).all()


def test_more_vectors_than_float32_can_count() -> None:
    """All alike, and so are their chunks but the last, which float32 would not count."""

    def run(function: Callable[[int], Any], starts: Sequence[int]) -> list[Any]:
        return [function(starts[0])] * (len(starts) - 1) + [function(starts[-1])]

    ones = Points(torch.ones(1, 1, dtype=torch.float16).expand(2**24 + 3, 1))
    assert live(KMeans().fit(ones, 2, (0,), run)).tolist() == [[1.0]]


def test_nearest_is_brute_force() -> None:
    vectors, centroids = cloud(CHUNK + BLOCK + 3), cloud(12, seed=1)
    labels, error = nearest(points(vectors), torch.from_numpy(centroids).float())
    exact = squared_distances(vectors, centroids)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, exact.argmin(1))
    assert error == pytest.approx(exact.min(1).sum(), rel=1e-6)


def test_infinite_centroids_are_nobodys_nearest() -> None:
    vectors, centroids = cloud(100), cloud(4, seed=1).astype(np.float32)
    centroids[[0, 2]] = np.inf
    labels, _ = nearest(points(vectors), torch.from_numpy(centroids))
    np.testing.assert_array_equal(labels, np.array([1, 3])[squared_distances(vectors, centroids[[1, 3]]).argmin(1)])


# ------------------------------------------------------------------------------------------- determinism


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_bits_do_not_depend_on_threads(threads: int) -> None:
    some = points(cloud(3 * CHUNK + 77, width=33))
    with one_thread():
        alone = KMeans(iterations=8).fit(some, 12, (5,))
        labels, error = nearest(some, alone)
    with one_thread(), ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        together = KMeans(iterations=8).fit(some, 12, (5,), pool.map)
        same_labels, same_error = nearest(some, alone, pool.map)
    assert torch.equal(alone, together)
    assert error == same_error
    np.testing.assert_array_equal(labels, same_labels)


def test_rows_out_of_order_are_the_same_points() -> None:
    vectors = torch.from_numpy(cloud(2000))
    order = torch.randperm(4000, generator=torch.Generator().manual_seed(0))[:2000] // 2
    listed = KMeans().fit(Points(vectors, order), 12, (1,))
    assert torch.equal(listed, KMeans().fit(Points(vectors[order]), 12, (1,)))


# -------------------------------------------------------------------------------------------- degenerate


@pytest.mark.parametrize("distinct", [1, 5, 11, 12])
@pytest.mark.parametrize("copies", [1, 300])
def test_every_distinct_point_has_its_own_centroid_and_no_more(distinct: int, copies: int) -> None:
    values = cloud(distinct, seed=2)
    centroids = KMeans().fit(points(np.repeat(values, copies, axis=0)), 12, (0,))
    found = live(centroids)
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, values.astype(np.float32).tolist()))


def test_lonely_points_outside_the_sample_are_found() -> None:
    vectors = np.repeat(cloud(1), 20_000, axis=0)
    vectors[[7, 9_000, 15_001]] = cloud(3, seed=9)
    centroids = live(KMeans(sample_per_centroid=2).fit(points(vectors), 12, (0,)))
    assert len(centroids) == 4
    assert squared_distances(vectors, centroids).min(1).max() == 0


def test_one_centroid_is_the_mean() -> None:
    vectors = cloud(1000)
    (centroid,) = KMeans().fit(points(vectors), 1, (0,)).numpy()
    np.testing.assert_allclose(centroid, vectors.astype(np.float64).mean(0), rtol=1e-5, atol=1e-6)


def test_the_whole_range_of_float16_is_used() -> None:
    largest, smallest = 65504.0, 2.0**-24
    values = np.zeros((6, 1024), np.float16)
    values[0], values[1], values[2, ::2] = largest, -largest, largest
    values[3, 0], values[4, 1], values[5] = smallest, -smallest, 3 * smallest
    centroids = KMeans().fit(points(np.repeat(values[:3], 40, axis=0)), 12, (0,))
    assert sorted(map(tuple, live(centroids))) == sorted(map(tuple, values[:3].astype(np.float32)))
    centroids = KMeans().fit(points(np.repeat(values[3:], 40, axis=0)), 12, (0,))
    assert sorted(map(tuple, live(centroids))) == sorted(map(tuple, values[3:].astype(np.float32)))
