"""Positions that no sequence has reached yet keep the embeddings they start with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

POSITIONS = "position_embeddings.weight"


@contextmanager
def unreached_positions_stay(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Around a step of ``optimizer``: rows of the position embeddings without any gradient so far stay as they are.

    Weight decay would shrink them, and a later stage of training with longer sequences would not find them as they
    were.
    """
    tables = [p for n, p in model.named_parameters() if n.endswith(POSITIONS) and p.grad is not None]
    before = [p.detach().clone() for p in tables]
    yield
    with torch.no_grad():
        for table, rows in zip(tables, before, strict=True):
            reached = optimizer.state[table]["exp_avg"].any(dim=1, keepdim=True)
            table.copy_(torch.where(reached, table, rows))
