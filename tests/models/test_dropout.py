from __future__ import annotations

import pytest
import torch
from torch import nn

from models.dropout import Dropout, dropout, replace_dropouts


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_a_share_is_dropped_and_the_mean_stays(dtype: torch.dtype, p: float) -> None:
    torch.manual_seed(0)
    out = dropout(torch.ones(501, 999, dtype=dtype), p).float()
    assert (out == 0).float().mean().item() == pytest.approx(p, abs=3e-3)
    assert out.mean().item() == pytest.approx(1.0, abs=1e-2)
    assert len(out.unique()) == 2


def test_elements_are_dropped_independently() -> None:
    torch.manual_seed(0)
    kept = (dropout(torch.ones(4, 250_000), 0.5) > 0).float()
    for lag in (1, 2, 3, 4, 5):
        assert (kept[:, lag:] == kept[:, :-lag]).float().mean().item() == pytest.approx(0.5, abs=3e-3)
    assert torch.corrcoef(kept).fill_diagonal_(0).abs().max() < 0.01


def test_the_gradient_passes_where_the_value_did() -> None:
    x = torch.ones(1000, requires_grad=True)
    out = dropout(x, 0.3)
    out.sum().backward()
    assert x.grad is not None
    assert (x.grad == out).all()


def test_it_follows_torchs_generator() -> None:
    x = torch.ones(1000)
    torch.manual_seed(3)
    first = dropout(x, 0.1)
    assert (dropout(x, 0.1) != first).any()
    torch.manual_seed(3)
    assert (dropout(x, 0.1) == first).all()


def test_it_takes_the_place_of_torchs_everywhere() -> None:
    model = nn.Sequential(nn.Dropout(0.2), nn.ModuleDict({"a": nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.4))}))
    replace_dropouts(model)
    found = [m for m in model.modules() if isinstance(m, nn.Dropout)]
    assert [(type(m), m.p) for m in found] == [(Dropout, 0.2), (Dropout, 0.4)]
    x = torch.ones(5)
    assert model.eval()[0](x) is x


def test_all_but_a_few_are_dropped_at_one() -> None:
    out = dropout(torch.ones(1000), 1.0)
    assert out.isfinite().all()
    assert (out == 0).float().mean() > 0.99
