"""k-means of one set of vectors, streamed in blocks and the same to the bit on any number of threads.

Restarts happen on a sample: greedy k-means++ (Arthur & Vassilvitskii 2007) and Lloyd's steps; the best goes on over
every vector. Sums of a chunk are float32, everything above chunks float64 and int64, added in the order of chunks. What
float32 loses there moves no coordinate of a mean by more than 2^-12 of the largest value in its column, half of what
rounding to float16 may have moved that by: adding the i-th of n = 8192 values up to M errs by at most 2^-24 i M, all
of them by 2^-25 n^2 M, their mean by 2^-25 n M. Values of one sign and binade, 11 bits of which 2^13 fill 24, add up
exactly.

Shape suffixes: N vectors, M of a sample, B of a block, K centroids, R restarts, T trials, D width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from models.points import BLOCK, CHUNK, Points
from models.threads import Run


@dataclass(frozen=True)
class KMeans:
    """How to cluster. Fields as those of the stage FitCodebook."""

    restarts: int = 5
    iterations: int = 25
    tolerance: float = 1e-4
    sample_per_centroid: int = 64

    @torch.inference_mode()
    def fit(
        self, points: Points, k: int, seed: Sequence[int], run: Run = map, on_pass: Callable[[int], None] | None = None
    ) -> Tensor:
        """Centroids [K, D] float32 of ``points``. Rows of infinities where there are fewer distinct points than K.

        run      calls a function on each chunk: map, or that of Threads
        on_pass  told the number of each pass over all points
        """
        if len(points) <= CHUNK:
            points = Points(points[:])
        if k == 1:
            return points.mean()[None]
        rng = np.random.default_rng(seed)
        sample_MD = points[_draw(len(points), k * self.sample_per_centroid, rng)]
        mean_D = sample_MD.mean(0)
        sample_MD = sample_MD - mean_D
        least_gain = self.tolerance * float(sample_MD.square().sum(1).mean(dtype=torch.float64)) / 2
        centroids_KD, before = _start(sample_MD, k, self.restarts, self.iterations, least_gain, rng)
        centroids_KD += mean_D
        if len(sample_MD) < len(points):
            before = math.inf
        del sample_MD
        for number in range(self.iterations):
            if on_pass:
                on_pass(number + 1)
            sums_KD, counts_K, error = _sums(points, _Table.of(centroids_KD, mean_D), run)
            centroids_KD = sums_KD.div_(counts_K[:, None]).float()
            empty_K = counts_K == 0
            if empty_K.any():
                centroids_KD[empty_K] = math.inf
                found = _farthest(points, _Table.of(centroids_KD, mean_D), int(empty_K.sum()), run)
                for j, vector in zip(empty_K.nonzero().flatten().tolist(), found, strict=False):
                    centroids_KD[j] = vector
                if found:
                    continue
            if before - error <= least_gain:
                break
            before = error
        return centroids_KD


@torch.inference_mode()
def nearest(points: Points, centroids: Tensor, run: Run = map) -> tuple[np.ndarray, float]:
    """Index uint8 [N] of the nearest of ``centroids`` [K, D] (K <= 256, infinite ones are dead) and the sum of squared
    distances to it."""
    table = _Table.of(centroids, centroids[~centroids[:, 0].isinf()].mean(0))
    done = list(run(partial(_nearest_in_chunk, points, table), points.chunks))
    labels = torch.cat([labels for labels, _ in done]) if done else torch.zeros(0, dtype=torch.uint8)
    return labels.numpy(), math.fsum(error for _, error in done)


def _draw(n: int, size: int, rng: np.random.Generator) -> slice | Tensor:
    """Indices of ``size`` of ``n`` in ascending order; everything where that is fewer."""
    if n <= size:
        return slice(None)
    return torch.from_numpy(np.sort(rng.choice(n, size, replace=False, shuffle=False)))


def _start(
    x_MD: Tensor, k: int, restarts: int, iterations: int, least_gain: float, rng: np.random.Generator
) -> tuple[Tensor, float]:
    """Centroids [K, D] of the best of ``restarts`` on a sample without its mean, and their error as ``_sums`` gives it.

    All of it works on the products of vectors with one another, computed once: for the mean c of some members, x . c is
    the mean of the products of x with them, and |c|^2 the mean of c . x over them.
    """
    products_MM = x_MD @ x_MD.T
    squares_M = products_MM.diagonal()
    distances_MM = (squares_M + squares_M[:, None]).sub_(products_MM, alpha=2).clamp_(min=0).numpy()
    seeds_RK = _seeds(distances_MM, k, restarts, rng)
    labels_MR = torch.from_numpy(distances_MM[seeds_RK].argmin(1).T)
    error_R = torch.full((restarts,), math.inf)
    for _ in range(iterations):
        before_R = error_R
        error_R, labels_MR = _step(products_MM, labels_MR, k)
        if (before_R - error_R).max() <= least_gain:
            break
    best = int(error_R.argmin())
    labels_M = labels_MR[:, best]
    counts_K = labels_M.bincount(minlength=k).clamp_(min=1)
    sums_KD = torch.zeros(k, x_MD.shape[1]).index_add_(0, labels_M, x_MD)
    return sums_KD.div_(counts_K[:, None]), float(error_R[best])


def _seeds(distances_MM: np.ndarray, k: int, restarts: int, rng: np.random.Generator) -> np.ndarray:
    """Greedy k-means++, indices [R, K]: of 2 + log K candidates, drawn by squared distance, the one that helps most."""
    m = len(distances_MM)
    every = np.arange(restarts)
    chosen_RK = np.empty((restarts, k), np.int64)
    chosen_RK[:, 0] = rng.integers(m, size=restarts)
    closest_RM = distances_MM[chosen_RK[:, 0]]
    for j in range(1, k):
        cumulated_RM = closest_RM.cumsum(1, dtype=np.float64)
        drawn_RT = rng.random((restarts, 2 + int(math.log(k)))) * cumulated_RM[:, -1:]
        candidates_RT = (cumulated_RM[:, None] <= drawn_RT[..., None]).sum(2).clip(max=m - 1)
        closest_RTM = np.minimum(distances_MM[candidates_RT], closest_RM[:, None])
        best_R = closest_RTM.sum(2).argmin(1)
        chosen_RK[:, j] = candidates_RT[every, best_R]
        closest_RM = closest_RTM[every, best_R]
    return chosen_RK


def _step(products_MM: Tensor, labels_MR: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """One of Lloyd's steps for each restart: half the mean squared distance [R] to the means of ``labels_MR``, less a
    constant, and the nearest of them [M, R]. A mean without members counts as 0, the mean of all."""
    m, restarts = labels_MR.shape
    columns_MR = labels_MR + torch.arange(0, restarts * k, k)
    counts = columns_MR.flatten().bincount(minlength=restarts * k).clamp_(min=1)
    members = torch.zeros(m, restarts * k).scatter_(1, columns_MR, counts.float().reciprocal()[columns_MR])
    means = products_MM @ members
    halves = (members * means).sum(0).div_(2)
    least_MR, labels_MR = (halves - means).view(m, restarts, k).min(2)
    return least_MR.mean(0), labels_MR


@dataclass(frozen=True)
class _Table:
    """Centroids made ready for search: |x - c|^2 / 2 = constant + offset - x . (c - shift).

    Video features share a large mean; products with centroids less that shift keep float32's digits for what differs.
    """

    centroids_KD: Tensor
    shifted_KD: Tensor
    offsets_K: Tensor

    @classmethod
    def of(cls, centroids_KD: Tensor, shift_D: Tensor) -> _Table:
        """Infinite centroids are nobody's nearest."""
        dead_K = centroids_KD[:, 0].isinf()
        shifted_KD = (centroids_KD - shift_D).masked_fill_(dead_K[:, None], 0.0)
        offsets_K = torch.add(shift_D, shifted_KD, alpha=0.5).mul_(shifted_KD).sum(1)
        return cls(centroids_KD, shifted_KD, offsets_K.masked_fill_(dead_K, math.inf))

    def search(self, x_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Half the squared distance to the nearest centroid, less a constant of each vector, and its index: [B]."""
        return torch.addmm(self.offsets_K, x_BD, self.shifted_KD.T, alpha=-1).min(1)

    def differences(self, x_BD: Tensor, labels_B: Tensor, buffer: Tensor) -> Tensor:
        """From the vectors to their centroids, in ``buffer``: [B, D]."""
        return torch.index_select(self.centroids_KD, 0, labels_B, out=buffer[: len(x_BD)]).sub_(x_BD)


def _sums(points: Points, table: _Table, run: Run) -> tuple[Tensor, Tensor, float]:
    """Sums [K, D] float64 and counts [K] int64 of the points nearest to each centroid; half their mean squared
    distance, less a constant."""
    sums_KD = torch.zeros(table.centroids_KD.shape, dtype=torch.float64)
    counts_K = torch.zeros(len(sums_KD), dtype=torch.int64)
    error = 0.0
    for s, n, e in run(partial(_sums_in_chunk, points, table), points.chunks):
        sums_KD += s
        counts_K += n
        error += e
    return sums_KD, counts_K, error / len(points)


def _sums_in_chunk(points: Points, table: _Table, start: int) -> tuple[Tensor, Tensor, float]:
    sums_KD = torch.zeros_like(table.centroids_KD)
    least, labels = [], []
    for x_BD in points.blocks(start):
        least_B, labels_B = table.search(x_BD)
        sums_KD.index_add_(0, labels_B, x_BD)
        least.append(least_B)
        labels.append(labels_B)
    return sums_KD, torch.cat(labels).bincount(minlength=len(sums_KD)), float(torch.cat(least).sum())


def _nearest_in_chunk(points: Points, table: _Table, start: int) -> tuple[Tensor, float]:
    labels, error = [], 0.0
    buffer = torch.empty(min(BLOCK, len(points)), points.vectors.shape[1])
    for x_BD in points.blocks(start):
        _, labels_B = table.search(x_BD)
        differences = table.differences(x_BD, labels_B, buffer).flatten()
        error += float(differences.dot(differences))
        labels.append(labels_B)
    return torch.cat(labels).to(torch.uint8), error


def _farthest(points: Points, table: _Table, n: int, run: Run) -> list[Tensor]:
    """Up to ``n`` different points, those farthest from their centroids; none that lies on its centroid."""
    candidates: list[tuple[float, int]] = []
    for found in run(partial(_farthest_in_chunk, points, table, 2 * n), points.chunks):
        candidates += found
    chosen: list[Tensor] = []
    for _, index in sorted(candidates, key=lambda c: (-c[0], c[1])):
        vector = points[torch.tensor([index])][0]
        if len(chosen) < n and not any(torch.equal(vector, other) for other in chosen):
            chosen.append(vector)
    return chosen


def _farthest_in_chunk(points: Points, table: _Table, n: int, start: int) -> list[tuple[float, int]]:
    buffer = torch.empty(min(BLOCK, len(points)), points.vectors.shape[1])
    distances = [
        table.differences(x_BD, table.search(x_BD)[1], buffer).square_().sum(1) for x_BD in points.blocks(start)
    ]
    far = torch.cat(distances).sort(descending=True, stable=True)
    return [(d, start + i) for d, i in zip(far.values[:n].tolist(), far.indices[:n].tolist(), strict=True) if d > 0]
