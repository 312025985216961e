"""Hierarchical k-means: a codebook fit from the root down, level by level."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from models.codebook import Codebook, Grouped, mean_of_children
from models.kmeans import KMeans, nearest
from models.points import CHUNK, Points
from models.threads import Run, Threads


@dataclass(frozen=True)
class Split:
    """A node's children: centroids [K, width], infinite where dead, the child of each of its vectors, and the sum of
    their squared distances."""

    centroids: torch.Tensor
    labels: np.ndarray
    error: float


@dataclass(frozen=True)
class TreeFit:
    """How to fit a tree. Fields as those of the stage FitCodebook.

    A node's seed is made of the run's, its level and its number, and its k-means does not depend on threads: neither
    does the tree.
    """

    branching: int
    depth: int
    min_points: int
    seed: int
    kmeans: KMeans
    threads: Threads
    advance: Callable[[int, str], None] = lambda n, note: None
    """Told of vectors that are through a level, and of what is going on."""

    def levels(
        self, vectors: torch.Tensor, codebook: Codebook = Codebook((), (), ())
    ) -> Iterator[tuple[Codebook, Grouped]]:
        """The codebook down to each level, and ``vectors`` [n, width] by its nodes.

        Levels that ``codebook`` has already are not fit but descended again, which gives the same groups.
        """
        tree = Grouped.all(vectors)
        for level in range(1, self.depth + 1):
            nodes = tree.nodes()
            splits = self._each(nodes, partial(self._split, codebook, level))
            tree = tree.split([split.labels for split in splits], self.branching)
            if codebook.depth < level:
                children = {node: split.centroids for (node, _), split in zip(nodes, splits, strict=True)}
                error = sum(split.error for split in splits) / len(vectors)
                codebook = self._grown(codebook, children, tree.counts, error)
            yield codebook, tree

    def _each(self, nodes: list[tuple[int, Points]], split: Callable[[int, Points, Run], Split]) -> list[Split]:
        """Large nodes one after another, each by all threads; then the others, a thread each, the larger first."""
        large = max(CHUNK, sum(len(points) for _, points in nodes) // (4 * self.threads.count))
        splits = {node: split(node, points, self.threads.map) for node, points in nodes if len(points) > large}
        small = sorted((n for n in nodes if n[0] not in splits), key=lambda n: -len(n[1]))
        done = self.threads.map(lambda n: split(n[0], n[1], map), small)
        splits |= {node: s for (node, _), s in zip(small, done, strict=True)}
        return [splits[node] for node, _ in nodes]

    def _split(self, codebook: Codebook, level: int, node: int, points: Points, run: Run) -> Split:
        def on_pass(number: int) -> None:
            self.advance(0, f"level {level} of {self.depth}, node {node}, pass {number}")

        if codebook.depth >= level:
            centroids = codebook.children(level, node)
        else:
            k = self.branching if len(points) >= self.min_points else 1
            centroids = self.kmeans.fit(points, k, (self.seed, level, node), run, on_pass)
        while True:
            labels, error = nearest(points, centroids, run)
            unused = torch.from_numpy(np.bincount(labels, minlength=len(centroids)) == 0)
            if not (unused & centroids[:, 0].isfinite()).any():
                break
            centroids = centroids.masked_fill(unused[:, None], torch.inf)
        self.advance(len(points), f"level {level} of {self.depth}")
        return Split(centroids, labels, error)

    def _grown(
        self, codebook: Codebook, children: dict[int, torch.Tensor], counts: np.ndarray, error: float
    ) -> Codebook:
        """``codebook`` with one more level."""
        if codebook.depth:
            parents = codebook.centroids[-1]
        else:
            parents = mean_of_children(children[0].numpy(), counts[: len(children[0])], 1).astype(np.float32)
        centroids = np.repeat(parents, self.branching, axis=0)
        for node, found in children.items():
            live = counts[node * self.branching :][: len(found)] > 0
            centroids[node * self.branching :][: len(found)][live] = found.numpy()[live]
        return Codebook(
            (*codebook.centroids, centroids),
            (*codebook.counts, counts),
            (*codebook.errors, error),
        )
