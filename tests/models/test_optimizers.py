"""One step of each optimiser by hand, and the schedule of the reference."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from transformers import get_linear_schedule_with_warmup

from models.optimizers import decay_groups, linear_warmup_decay, make_optimizer


def one_parameter(value: float) -> nn.Parameter:
    return nn.Parameter(torch.full((1, 1), value))


def steps(name: str, gradients: list[float], rate: float = 0.1, decay: float = 0.01) -> list[float]:
    """The value of a 1 x 1 matrix that starts at 2, after each gradient."""
    weight = one_parameter(2.0)
    optimizer = make_optimizer(name, [("w", weight)], learning_rate=rate, weight_decay=decay)
    values = []
    for gradient in gradients:
        weight.grad = torch.full((1, 1), gradient)
        optimizer.step()
        values.append(weight.item())
    return values


def test_bert_adam_by_hand() -> None:
    # m = 0.1 * 0.5 = 0.05, v = 0.001 * 0.25 = 2.5e-4; 2 - 0.1 * (0.05 / (sqrt(2.5e-4) + 1e-6) + 0.01 * 2)
    first = 2 - 0.1 * (0.05 / (math.sqrt(2.5e-4) + 1e-6) + 0.02)
    # m = 0.9 * 0.05 - 0.1 = -0.055, v = 0.999 * 2.5e-4 + 0.001 = 1.24975e-3
    second = first - 0.1 * (-0.055 / (math.sqrt(1.24975e-3) + 1e-6) + 0.01 * first)
    assert first == pytest.approx(1.681791, abs=1e-5)
    assert steps("bert_adam", [0.5, -1.0]) == pytest.approx([first, second], rel=1e-6)


def test_adamw_by_hand() -> None:
    # the first bias-corrected step has the length of the learning rate, whatever the gradient
    assert steps("adamw", [0.5]) == pytest.approx([2 - 0.1 * 0.01 * 2 - 0.1], rel=1e-6)
    m, v = (0.9 * 0.05 - 0.1) / (1 - 0.9**2), (0.999 * 2.5e-4 + 0.001) / (1 - 0.999**2)
    second = 1.898 - 0.1 * (m / (math.sqrt(v) + 1e-8) + 0.01 * 1.898)
    assert steps("adamw", [0.5, -1.0])[1] == pytest.approx(second, rel=1e-6)


def test_bert_adam_never_corrects_the_bias_nor_forgets_over_many_steps() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.randn(20, 30, generator=generator))
    expected = weight.detach().double()
    m, v = torch.zeros_like(expected), torch.zeros_like(expected)
    optimizer = make_optimizer("bert_adam", [("w", weight)], learning_rate=1e-3, weight_decay=0.01)
    for step in range(200):
        gradient = torch.randn(20, 30, generator=generator) * (10 if step % 7 == 0 else 0.01)
        weight.grad = gradient
        optimizer.step()
        g = gradient.double()
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        expected = expected - 1e-3 * (m / (v.sqrt() + 1e-6) + 0.01 * expected)
    assert torch.allclose(weight.double(), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["adamw", "bert_adam"])
def test_a_restored_optimizer_goes_on_where_it_stopped(name: str) -> None:
    whole = steps(name, [0.5, -1.0, 0.25, 2.0])
    weight = one_parameter(2.0)
    optimizer = make_optimizer(name, [("w", weight)], learning_rate=0.1, weight_decay=0.01)
    for gradient in (0.5, -1.0):
        weight.grad = torch.full((1, 1), gradient)
        optimizer.step()
    saved = optimizer.state_dict()
    again = one_parameter(weight.item())
    optimizer = make_optimizer(name, [("w", again)], learning_rate=0.1, weight_decay=0.01)
    optimizer.load_state_dict(saved)
    for gradient in (0.25, 2.0):
        again.grad = torch.full((1, 1), gradient)
        optimizer.step()
    assert again.item() == whole[-1]


def test_biases_and_norms_do_not_decay() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.LayerNorm(4))
    frozen = nn.Parameter(torch.zeros(2, 2), requires_grad=False)
    groups = decay_groups([*model.named_parameters(), ("frozen", frozen)], 0.01)
    shapes = [[tuple(p.shape) for p in group["params"]] for group in groups]
    assert shapes == [[(5, 4), (4, 4)], [(4,), (4,), (4,)]]
    assert [group["weight_decay"] for group in groups] == [0.01, 0.0]


def test_unknown_names_and_betas_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no optimiser 'sgd' \(there are: adamw, bert_adam\)"):
        make_optimizer("sgd", [], learning_rate=1, weight_decay=0)
    with pytest.raises(ValueError, match="leave a bias correction"):
        make_optimizer("bert_adam", [("w", one_parameter(1.0))], learning_rate=1, weight_decay=0, betas=(0.9, 0.99999))


@pytest.mark.parametrize(("total", "warmup"), [(100, 0.1), (40, 0.0), (7, 0.5), (3, 0.1)])
def test_the_schedule_is_the_references(total: int, warmup: float) -> None:
    optimizer = torch.optim.SGD([one_parameter(1.0)], lr=1.0)
    schedule = get_linear_schedule_with_warmup(optimizer, int(total * warmup), total)
    for step in range(total):
        assert linear_warmup_decay(step, total, warmup) == pytest.approx(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()


def test_the_schedule_by_hand() -> None:
    assert [linear_warmup_decay(s, 10, 0.2) for s in range(11)] == pytest.approx(
        [0, 0.5, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0]
    )
