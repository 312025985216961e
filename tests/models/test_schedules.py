from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import get_linear_schedule_with_warmup

from models.schedules import share_of_peak


@pytest.mark.parametrize(("total", "warmup"), [(100, 0.1), (40, 0.0), (7, 0.5), (3, 0.1)])
def test_linear_is_the_references(total: int, warmup: float) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    schedule = get_linear_schedule_with_warmup(optimizer, int(total * warmup), total)
    for step in range(total):
        assert share_of_peak("linear", step, total, warmup) == pytest.approx(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()


def test_linear_by_hand() -> None:
    assert [share_of_peak("linear", s, 10, 0.2) for s in range(11)] == pytest.approx(
        [0, 0.5, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0]
    )


def test_constant_stays_after_the_warm_up() -> None:
    assert [share_of_peak("constant", s, 10, 0.2) for s in range(10)] == [0, 0.5, *[1.0] * 8]


def test_polynomial_is_a_power_of_what_is_left() -> None:
    assert share_of_peak("polynomial", 6, 10, 0.2, power=0.5) == pytest.approx(0.5**0.5)
    assert share_of_peak("polynomial", 6, 10, 0.2, power=2) == pytest.approx(0.25)
    assert share_of_peak("polynomial", 1, 10, 0.2, power=2) == 0.5


def test_the_inverse_square_root_counts_from_one() -> None:
    """BERTSUM's 2e-3 min(s^-0.5, s 10000^-1.5) has its peak 2e-5 at step 10,000."""
    for step in (0, 4_999, 9_999, 39_999):
        reference = 2e-3 * min((step + 1) ** -0.5, (step + 1) * 10_000**-1.5)
        assert 2e-5 * share_of_peak("inverse_square_root", step, 50_000, 0.2) == pytest.approx(reference)
