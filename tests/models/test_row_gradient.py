from __future__ import annotations

import torch
from torch import nn

from models.row_gradient import RowGradient

IDS = [torch.tensor([[3, 1, 3, 0]]), torch.tensor([[1, 4, 0, 0]])]


def embedding() -> nn.Embedding:
    torch.manual_seed(0)
    return nn.Embedding(6, 2, padding_idx=0)


def test_steps_are_those_of_the_dense_gradient() -> None:
    dense, sparse = embedding(), embedding()
    rows = RowGradient(sparse)
    optimizers = [torch.optim.AdamW(e.parameters(), lr=0.1) for e in (dense, sparse)]
    for step in range(4):
        for table in (dense, sparse):
            for ids in IDS[: 1 + step % 2]:  # accumulated over one or two batches
                (table(ids) ** 2).sum().backward()
        taken = rows.take()
        assert taken is not None
        assert sparse.weight.grad is None
        assert torch.allclose(taken.norm(), dense.weight.grad.norm())
        taken.mul_(0.5)
        dense.weight.grad.mul_(0.5)
        rows.lay_out()
        assert torch.allclose(sparse.weight.grad, dense.weight.grad)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        rows.clear()
        assert torch.allclose(sparse.weight, dense.weight)


def test_a_gradient_that_is_dense_all_the_same_is_left_alone() -> None:
    table = embedding()
    rows = RowGradient(table)
    assert rows.take() is None
    (table(IDS[0]).sum() + table.weight.sum()).backward()
    assert rows.take() is None
    rows.lay_out()
    rows.clear()
    assert table.weight.grad is not None
    assert (table.weight.grad[5] == 1).all()
