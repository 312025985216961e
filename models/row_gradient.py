"""The gradient of word embeddings by the rows that a step has touched."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RowGradient:
    """Backward passes leave a few hundred rows instead of a table of zeros as large as the vocabulary.

    Made, filled and summed at every step, such a table takes as long as two layers of a small BERT. Here one is kept,
    filled only for the optimiser, and emptied only where it was filled. Of no use where the table is an output layer
    too: its gradient is then dense.
    """

    def __init__(self, table: nn.Embedding) -> None:
        table.sparse = True
        self.weight = table.weight
        self._table = torch.zeros_like(self.weight)
        self._rows: Tensor | None = None
        self._values: Tensor | None = None

    def take(self) -> Tensor | None:
        """The rows' gradients [n, width], in place of ``weight.grad``; None where there is no sparse one."""
        gradient = self.weight.grad
        if gradient is None or not gradient.is_sparse:
            return None
        gradient = gradient.coalesce()
        self._rows, self._values = gradient.indices()[0], gradient.values()
        self.weight.grad = None
        return self._values

    def lay_out(self) -> None:
        """Put what was taken, and perhaps changed, into ``weight.grad`` as the optimiser needs it."""
        if self._rows is not None and self._values is not None:
            self._table.index_copy_(0, self._rows, self._values)
            self.weight.grad = self._table

    def clear(self) -> None:
        """Empty the table again."""
        if self._rows is not None:
            self._table.index_fill_(0, self._rows, 0.0)
        self._rows = self._values = None
