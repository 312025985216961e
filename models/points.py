"""Vectors of a cluster: some rows of a large matrix, converted block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 1024
"""Vectors converted to float32 at a time. Smaller ones would fit the nearest caches, but threads would then wait for
one another to run the lines between the operators."""
CHUNK = 8 * BLOCK
"""Vectors in one task of a thread."""


@dataclass(frozen=True)
class Points:
    """Some rows of a matrix [*, D] of float16 or float32, in a fixed order; ``rows`` None stands for all."""

    vectors: Tensor
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.vectors if self.rows is None else self.rows)

    def __getitem__(self, which: slice | Tensor) -> Tensor:
        """Float32 [B, D]."""
        if self.rows is None:
            return self.vectors[which].float()
        return self.vectors.index_select(0, self.rows[which]).float()

    def blocks(self, start: int) -> Iterator[Tensor]:
        """The blocks [B, D] of the chunk that begins at ``start``, each good until the next is taken."""
        stop = min(start + CHUNK, len(self))
        n, width = min(BLOCK, stop - start), self.vectors.shape[1]
        buffer = torch.empty(n, width)
        picked = torch.empty(n, width, dtype=self.vectors.dtype)
        for at in range(start, stop, BLOCK):
            n = min(BLOCK, stop - at)
            if n < len(buffer):
                buffer, picked = buffer[:n], picked[:n]
            if self.rows is not None:
                yield buffer.copy_(torch.index_select(self.vectors, 0, self.rows[at : at + n], out=picked))
            elif self.vectors.dtype == torch.float32:
                yield self.vectors[at : at + n]
            else:
                yield buffer.copy_(self.vectors[at : at + n])

    @property
    def chunks(self) -> range:
        return range(0, len(self), CHUNK)

    def mean(self) -> Tensor:
        """Float32 [D]."""
        total = torch.zeros(self.vectors.shape[1], dtype=torch.float64)
        for start in self.chunks:
            for x_BD in self.blocks(start):
                total += x_BD.sum(0)
        return (total / len(self)).float()
