"""Steps of each optimiser by hand."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from torch import nn

from models.lamb import LambForm
from models.optimizers import OptimizerName, make_optimizer
from models.parameter_groups import parameter_groups


def one_parameter(value: float) -> nn.Parameter:
    return nn.Parameter(torch.full((1, 1), value))


def optimizer_of(
    name: OptimizerName, *weights: nn.Parameter, rate: float = 0.1, decay: float = 0.01, **fields: object
) -> torch.optim.Optimizer:
    groups = parameter_groups([(f"w{i}", w) for i, w in enumerate(weights)], weight_decay=decay, n_layers=0)
    return make_optimizer(name, groups, learning_rate=rate, **fields)


def steps(name: OptimizerName, gradients: list[float]) -> list[float]:
    """The value of a 1 x 1 matrix that starts at 2, after each gradient."""
    weight = one_parameter(2.0)
    optimizer = optimizer_of(name, weight)
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


def test_adamax_by_hand() -> None:
    # m = 0.05, u = 0.5, m / (1 - 0.9) / u = 1; the decay is taken off beside it
    assert steps("adamax", [0.5]) == pytest.approx([2 - 0.1 * 0.01 * 2 - 0.1], rel=1e-6)
    # m = 0.9 * 0.05 + 0.1 * 0.2 = 0.065, u = max(0.999 * 0.5, 0.2)
    second = 1.898 * (1 - 0.001) - 0.1 * (0.065 / 0.19) / 0.4995
    assert steps("adamax", [0.5, 0.2])[1] == pytest.approx(second, rel=1e-6)


class TestLamb:
    """A matrix [3, 4] of norm 5 and a bias of 2; gradients [0.1, 0.2] and 0.5; rate 0.1, decay 0.01."""

    def step(self, form: LambForm = LambForm(), n: int = 1) -> tuple[list[float], float]:
        weight, bias = nn.Parameter(torch.tensor([[3.0, 4.0]])), nn.Parameter(torch.tensor([2.0]))
        optimizer = optimizer_of("lamb", weight, bias, lamb=form)
        for _ in range(n):
            weight.grad, bias.grad = torch.tensor([[0.1, 0.2]]), torch.tensor([0.5])
            optimizer.step()
        return weight.flatten().tolist(), bias.item()

    # v = 0.001 g^2, so m / sqrt(v) = 0.1 g / (sqrt(0.001) g) = sqrt(10) without and 1 with the correction of the bias
    r = (math.sqrt(10) + 0.03, math.sqrt(10) + 0.04)

    def test_albert_s_step(self) -> None:
        """Neither moment's bias is corrected, as in google-research/albert."""
        ratio = 5 / math.hypot(*self.r)
        weight, bias = self.step()
        assert weight == pytest.approx([3 - 0.1 * ratio * self.r[0], 4 - 0.1 * ratio * self.r[1]], rel=1e-4)
        assert bias == pytest.approx(2 - 0.1 * math.sqrt(10), abs=3e-5)  # neither decay nor ratio
        assert math.dist(weight, (3, 4)) == pytest.approx(0.1 * 5, rel=1e-5)  # as long as rate x norm

    def test_a_second_step_with_another_gradient(self) -> None:
        """beta 0.5 and 0.75: m = 0.5 g, then 0.5 m + 0.5 g; v = 0.25 g^2, then 0.75 v + 0.25 g^2."""
        weight = nn.Parameter(torch.tensor([[3.0, 4.0]]))
        optimizer = optimizer_of("lamb", weight, betas=(0.5, 0.75))
        expected = (3.0, 4.0)
        for gradient, m, v in (((1, 2), (0.5, 1), (0.25, 1)), ((3, -1), (1.75, 0), (2.4375, 1))):
            weight.grad = torch.tensor([gradient], dtype=torch.float32)
            optimizer.step()
            r = [a / math.sqrt(b) + 0.01 * w for a, b, w in zip(m, v, expected, strict=True)]
            rate = 0.1 * math.hypot(*expected) / math.hypot(*r)
            expected = (expected[0] - rate * r[0], expected[1] - rate * r[1])
            assert weight.flatten().tolist() == pytest.approx(expected, rel=1e-5)

    def test_debias(self) -> None:
        """Both are, as in the paper's algorithm 2."""
        ratio = 5 / math.hypot(1.03, 1.04)
        weight, bias = self.step(LambForm(debias=True))
        assert weight == pytest.approx([3 - 0.1 * ratio * 1.03, 4 - 0.1 * ratio * 1.04], rel=1e-4)
        assert bias == pytest.approx(1.9, rel=1e-4)
        # with equal gradients both corrected moments stay as they are
        assert self.step(LambForm(debias=True), n=2)[1] == pytest.approx(1.8, rel=1e-4)

    def test_debias_of_a_weight_that_joins_later(self) -> None:
        """Its first step is as long as if it were alone: the rate times its norm for the same direction."""
        early, late, alone = (nn.Parameter(torch.tensor([[3.0, 4.0]])) for _ in range(3))
        form = LambForm(debias=True)
        together, apart = optimizer_of("lamb", early, late, lamb=form), optimizer_of("lamb", alone, lamb=form)
        early.grad = torch.tensor([[1.0, 1.0]])
        together.step()
        early.grad, late.grad, alone.grad = (torch.tensor([[1.0, 5.0]]) for _ in range(3))
        together.step()
        apart.step()
        assert torch.equal(late, alone)

    @pytest.mark.parametrize(("bounds", "phi"), [((0.0, 2.0), 2.0), ((6.0, 10.0), 6.0), ((0.0, 10.0), 5.0)])
    def test_phi_clip(self, bounds: tuple[float, float], phi: float) -> None:
        weight, bias = self.step(LambForm(phi_clip=bounds))
        assert math.dist(weight, (3, 4)) == pytest.approx(0.1 * phi, rel=1e-5)
        assert bias == pytest.approx(2 - 0.1 * math.sqrt(10), abs=3e-5)

    def test_pre_normalise(self) -> None:
        # The gradient of norm sqrt(0.01 + 0.04 + 0.25) becomes one of norm 1; only epsilon tells the two apart.
        weight, bias = nn.Parameter(torch.tensor([[3.0, 4.0]])), nn.Parameter(torch.tensor([2.0]))
        optimizer = optimizer_of("lamb", weight, bias, lamb=LambForm(pre_normalise=True))
        weight.grad, bias.grad = torch.tensor([[0.1, 0.2]]), torch.tensor([0.5])
        optimizer.step()
        norm = math.sqrt(0.3)
        moments = [optimizer.state[p]["exp_avg"].flatten().tolist() for p in (weight, bias)]
        assert moments[0] == pytest.approx([0.1 * 0.1 / norm, 0.1 * 0.2 / norm], rel=1e-6)
        assert moments[1] == pytest.approx([0.1 * 0.5 / norm], rel=1e-6)

    def test_the_ratio_is_one_where_a_norm_is_zero(self) -> None:
        weight = nn.Parameter(torch.zeros(1, 2))
        optimizer = optimizer_of("lamb", weight)
        weight.grad = torch.tensor([[1.0, -1.0]])
        optimizer.step()
        assert weight.flatten().tolist() == pytest.approx([-0.1 * math.sqrt(10), 0.1 * math.sqrt(10)], rel=1e-4)
        still = nn.Parameter(torch.ones(1, 2))
        optimizer = optimizer_of("lamb", still, decay=0.0)
        still.grad = torch.zeros(1, 2)
        optimizer.step()
        assert still.flatten().tolist() == [1.0, 1.0]


def test_bert_adam_never_corrects_the_bias_nor_forgets_over_many_steps() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.randn(20, 30, generator=generator))
    expected = weight.detach().double()
    m, v = torch.zeros_like(expected), torch.zeros_like(expected)
    optimizer = optimizer_of("bert_adam", weight, rate=1e-3)
    for step in range(200):
        gradient = torch.randn(20, 30, generator=generator) * (10 if step % 7 == 0 else 0.01)
        weight.grad = gradient
        optimizer.step()
        g = gradient.double()
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        expected = expected - 1e-3 * (m / (v.sqrt() + 1e-6) + 0.01 * expected)
    assert torch.allclose(weight.double(), expected, atol=1e-4)


@pytest.mark.parametrize("name", get_args(OptimizerName))
def test_a_restored_optimizer_goes_on_where_it_stopped(name: OptimizerName) -> None:
    whole = steps(name, [0.5, -1.0, 0.25, 2.0])
    weight = one_parameter(2.0)
    optimizer = optimizer_of(name, weight)
    for gradient in (0.5, -1.0):
        weight.grad = torch.full((1, 1), gradient)
        optimizer.step()
    saved = optimizer.state_dict()
    again = one_parameter(weight.item())
    optimizer = optimizer_of(name, again)
    optimizer.load_state_dict(saved)
    for gradient in (0.25, 2.0):
        again.grad = torch.full((1, 1), gradient)
        optimizer.step()
    assert again.item() == whole[-1]


@pytest.mark.parametrize("name", get_args(OptimizerName))
def test_parameters_without_a_gradient_stay(name: OptimizerName) -> None:
    moved, stays = one_parameter(2.0), one_parameter(3.0)
    optimizer = optimizer_of(name, moved, stays)
    moved.grad = torch.ones(1, 1)
    optimizer.step()
    assert stays.item() == 3.0
    assert moved.item() < 2.0


def test_betas_that_would_correct_the_bias_are_refused() -> None:
    with pytest.raises(ValueError, match="leave a bias correction"):
        optimizer_of("bert_adam", one_parameter(1.0), betas=(0.9, 0.99999))
