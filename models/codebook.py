"""The codebook: a tree of centroids whose leaves are the visual words.

A token is the number of a leaf. Written in base ``branching`` its ``depth`` digits are the path from the root, so
with 12 and 4 the path 3.0.11.7 is token 3 * 12^3 + 0 * 12^2 + 11 * 12 + 7 = 5323. Identifiers never depend on the
data: there are always branching ** depth, and leaves that no vector reached are marked dead.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from models.kmeans import nearest
from models.points import CHUNK, Points
from models.threads import one_thread

FILE = "codebook.safetensors"


def token_path(token: int, branching: int = 12, depth: int = 4) -> tuple[int, ...]:
    """The digits of a token from the root down. ValueError for a number that is no token."""
    if not 0 <= token < branching**depth:
        raise ValueError(f"{token} is no token of a codebook of {branching}^{depth} leaves")
    return tuple(token // branching**level % branching for level in reversed(range(depth)))


@dataclass(frozen=True)
class Codebook:
    """Centroids and counts of every level; level 1 has ``branching`` nodes, each the next ``branching`` times more.

    A dead node has no vectors; its centroid is that of its nearest live ancestor. A node that was too small to split
    goes on in its child 0.
    """

    centroids: tuple[np.ndarray, ...]
    """A level each: float32 [branching ** level, width]."""
    counts: tuple[np.ndarray, ...]
    """A level each: int64 [branching ** level], the vectors it was fit on by node. The last is the histogram of
    tokens."""
    errors: tuple[float, ...]
    """A level each: mean squared distance of a vector to its node's centroid."""
    unit_length: bool = False
    """Whether it was fit on features divided by their length."""

    @property
    def branching(self) -> int:
        return len(self.centroids[0])

    @property
    def depth(self) -> int:
        return len(self.centroids)

    @property
    def width(self) -> int:
        return int(self.centroids[0].shape[1])

    @property
    def dead(self) -> np.ndarray:
        """Whether a leaf has no vectors: bool [branching ** depth]."""
        dead: np.ndarray = self.counts[-1] == 0
        return dead

    def leaves(self) -> np.ndarray:
        """Centroids of the leaves: float32 [branching ** depth, width], all of them finite."""
        return self.centroids[-1]

    def scaled(self, features: np.ndarray) -> np.ndarray:
        """``features`` [n, width] as the codebook was fit on them: what ``assign_tree`` and ``assign_flat`` take."""
        return unit_length(features) if self.unit_length else features

    def children(self, level: int, node: int) -> torch.Tensor:
        """Centroids [branching, width] of level ``level`` (from 1) below ``node``, dead ones infinite."""
        here = slice(node * self.branching, (node + 1) * self.branching)
        dead = torch.from_numpy(self.counts[level - 1][here] == 0)
        return torch.from_numpy(self.centroids[level - 1][here]).masked_fill(dead[:, None], torch.inf)

    def assign_tree(self, vectors: np.ndarray) -> np.ndarray:
        """Tokens uint16 [n] of ``vectors`` [n, width], the nearest child at each level: the paper's way."""
        with one_thread():
            tree = Grouped.all(torch.from_numpy(vectors))
            for level in range(1, self.depth + 1):
                labels = [nearest(points, self.children(level, node))[0] for node, points in tree.nodes()]
                tree = tree.split(labels, self.branching)
        return tree.codes()

    def assign_flat(self, vectors: np.ndarray) -> np.ndarray:
        """Tokens uint16 [n] of ``vectors`` [n, width], the nearest of all live leaves: less error, more work."""
        index, tokens, shift = self._flat
        found = np.empty(len(vectors), np.uint16)
        for start in range(0, len(vectors), CHUNK):
            x = vectors[start : start + CHUNK].astype(np.float32) - shift
            found[start : start + CHUNK] = tokens[index.search(x, 1)[1][:, 0]]
        return found

    @cached_property
    def _flat(self) -> tuple[Any, np.ndarray, np.ndarray]:
        """faiss's index of the live leaves, on GPUs if it sees any, their tokens, and the mean that it leaves out."""
        import faiss

        tokens = np.flatnonzero(~self.dead).astype(np.uint16)
        live = self.leaves()[tokens]
        shift = live.mean(0)
        index: Any = faiss.IndexFlatL2(self.width)
        index.add(live - shift)
        if faiss.get_num_gpus():
            index = faiss.index_cpu_to_all_gpus(index)
        return index, tokens, shift

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        tensors = {"errors": np.array(self.errors), "unit_length": np.array(self.unit_length)}
        for level, (centroids, counts) in enumerate(zip(self.centroids, self.counts, strict=True), 1):
            tensors |= {f"centroids.{level}": centroids, f"counts.{level}": counts, f"dead.{level}": counts == 0}
        save_file(tensors, path)

    @classmethod
    def load(cls, path: str | Path) -> Codebook:
        """From a file, or from the directory of FitCodebook."""
        path = Path(path)
        tensors = load_file(path / FILE if path.is_dir() else path)
        levels = range(1, len(tensors["errors"]) + 1)
        return cls(
            tuple(tensors[f"centroids.{level}"] for level in levels),
            tuple(tensors[f"counts.{level}"] for level in levels),
            tuple(tensors["errors"].tolist()),
            bool(tensors["unit_length"]),
        )


def unit_length(features: np.ndarray) -> np.ndarray:
    """``features`` [n, width] of any float type divided by their lengths; zeros stay zeros."""
    lengths = np.linalg.norm(features.astype(np.float32), axis=1, keepdims=True)
    scaled: np.ndarray = (features / np.where(lengths > 0, lengths, 1)).astype(features.dtype)
    return scaled


def inherit(centroids: np.ndarray, counts: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """``centroids`` [n * branching, width] in which the dead have those of their ``parents`` [n, width]."""
    inherited = np.repeat(parents.astype(np.float32), len(centroids) // len(parents), axis=0)
    live = counts > 0
    inherited[live] = centroids[live]
    return inherited


def mean_of_children(centroids: np.ndarray, counts: np.ndarray, n: int) -> np.ndarray:
    """Centroids float64 [n, width] of the ``n`` nodes above: means of the vectors below, 0 where there are none."""
    weights = counts.reshape(n, -1, 1)
    finite = np.where(weights > 0, centroids.reshape(n, -1, centroids.shape[1]), 0.0).astype(np.float64)
    means: np.ndarray = (finite * weights).sum(1) / weights.sum(1).clip(min=1)
    return means


def with_levels_above(leaves: np.ndarray, counts: np.ndarray, branching: int) -> Codebook:
    """The codebook of these leaves, float32 [branching ** depth, width]; its errors are yet to be measured."""
    centroids, all_counts = [leaves], [counts]
    while len(centroids[0]) > 1:
        n = len(centroids[0]) // branching
        centroids.insert(0, mean_of_children(centroids[0], all_counts[0], n))
        all_counts.insert(0, all_counts[0].reshape(n, branching).sum(1))
    for level in range(1, len(centroids)):
        centroids[level] = inherit(centroids[level], all_counts[level], centroids[level - 1])
    return Codebook(tuple(centroids[1:]), tuple(all_counts[1:]), ())


@dataclass(frozen=True)
class Grouped:
    """Vectors by node of one level: ``order`` lists rows node after node, ascending within each."""

    vectors: torch.Tensor
    order: torch.Tensor | None
    """int64 [n]; None is the order of the vectors, which needs no look-up."""
    counts: np.ndarray
    """int64 [nodes]."""

    @classmethod
    def all(cls, vectors: torch.Tensor) -> Grouped:
        """Every vector in the root."""
        return cls(vectors, None, np.array([len(vectors)]))

    def nodes(self) -> list[tuple[int, Points]]:
        """The nodes that have vectors, with these."""
        if self.order is None:
            return [(0, Points(self.vectors))] if len(self.vectors) else []
        ends = np.cumsum(self.counts)
        return [
            (node, Points(self.vectors, self.order[ends[node] - self.counts[node] : ends[node]]))
            for node in np.flatnonzero(self.counts).tolist()
        ]

    def split(self, labels: list[np.ndarray], branching: int) -> Grouped:
        """The next level; ``labels``: for each of ``nodes()`` the child of each of its vectors."""
        # Sixteen bits make it a radix sort, and are enough: a token has no more.
        above = self._nodes().astype(np.uint32) * np.uint32(branching)
        children = (above + np.concatenate(labels or [above])).astype(np.uint16)
        sort = torch.from_numpy(np.argsort(children, kind="stable"))
        counts = np.bincount(children, minlength=len(self.counts) * branching)
        return Grouped(self.vectors, sort if self.order is None else self.order[sort], counts)

    def codes(self) -> np.ndarray:
        """The node of each vector: uint16 [n]."""
        codes = np.empty(len(self.vectors), np.uint16)
        codes[slice(None) if self.order is None else self.order.numpy()] = self._nodes()
        return codes

    def _nodes(self) -> np.ndarray:
        """The node of each vector in ``order``: uint16 [n]."""
        return np.repeat(np.arange(len(self.counts), dtype=np.uint16), self.counts)
