"""Flat k-means over the leaves of a tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch

from models.codebook import Codebook, Grouped, with_levels_above
from models.points import CHUNK


def refine(
    codebook: Codebook, vectors: torch.Tensor, steps: int, advance: Callable[[int, str], None]
) -> tuple[Codebook, Grouped]:
    """Take ``steps`` of Lloyd's algorithm on all leaves at once; then the codebook, and ``vectors`` by nearest leaf.

    Inner nodes become the means of what lies below them; leaves that nothing is nearest to die. ``advance`` is told of
    vectors, ``steps`` + 1 times each.
    """
    for step in range(steps):
        sums = torch.zeros(codebook.leaves().shape, dtype=torch.float64)
        counts = torch.zeros(len(sums), dtype=torch.int64)
        for x, tokens in _assigned(codebook, vectors):
            found = torch.from_numpy(tokens.astype(np.int64))
            sums.index_add_(0, found, x.double())
            counts += found.bincount(minlength=len(counts))
            advance(len(x), f"refining, step {step + 1} of {steps}")
        leaves = (sums / counts.clamp(min=1)[:, None]).float().numpy()
        codebook = with_levels_above(leaves, counts.numpy(), codebook.branching)
    labels = []
    for x, tokens in _assigned(codebook, vectors):
        labels.append(tokens)
        advance(len(x), "assigning to refined leaves")
    tree = Grouped.all(vectors).split(labels, len(codebook.leaves()))
    codebook = with_levels_above(codebook.leaves(), tree.counts, codebook.branching)
    errors = np.zeros(codebook.depth)
    for i, tokens in enumerate(labels):
        chunk = vectors[i * CHUNK : (i + 1) * CHUNK].float().numpy()
        for level, centroids in enumerate(codebook.centroids):
            nodes = tokens // codebook.branching ** (codebook.depth - 1 - level)
            errors[level] += np.square(chunk - centroids[nodes]).sum(1).sum(dtype=np.float64)
    return replace(codebook, errors=tuple((errors / len(vectors)).tolist())), tree


def _assigned(codebook: Codebook, vectors: torch.Tensor) -> Iterator[tuple[torch.Tensor, np.ndarray]]:
    """The vectors in chunks of float32, with the nearest leaf of each."""
    for start in range(0, len(vectors), CHUNK):
        x = vectors[start : start + CHUNK].float()
        yield x, codebook.assign_flat(x.numpy())
