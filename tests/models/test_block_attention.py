"""Attention in blocks against the formula."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from models import block_attention
from models.block_attention import SPARE, attend_in_blocks, blocks_of

H, W = 4, 8
LENGTHS = (3, 17, 17, 1, 40)
SCALE = 0.3


def inputs(lengths: Sequence[int] = LENGTHS) -> list[Tensor]:
    """Query, key and value of a row."""
    generator = torch.Generator().manual_seed(0)
    shape = (H, sum(lengths) + SPARE, W)
    return [torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(3)]


def by_formula(query: Tensor, key: Tensor, value: Tensor, factors: Sequence[Tensor] = ()) -> Tensor:
    """A sequence at a time; ``factors`` of its weights."""
    out = torch.zeros_like(query)
    ends = torch.tensor(LENGTHS).cumsum(0).tolist()
    for i, (end, length) in enumerate(zip(ends, LENGTHS, strict=True)):
        words = slice(end - length, end)
        weights = (query[:, words] @ key[:, words].mT * SCALE).softmax(-1)
        out[:, words] = (weights * factors[i] if factors else weights) @ value[:, words]
    return out


def gradients(out: Tensor, of: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad((out**3).sum(), of)


@pytest.fixture(params=[1, 3000, 8000, 1 << 19], ids=["a head", "some heads", "some sequences", "all"])
def block_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(block_attention, "BLOCK", request.param)
    monkeypatch.setattr(block_attention, "APART", request.param)
    return int(request.param)


@pytest.mark.usefixtures("block_size")
def test_values_and_gradients_are_those_of_the_formula() -> None:
    given = inputs()
    blocks = blocks_of(LENGTHS, H)
    out, expected = attend_in_blocks(*given, blocks, SCALE), by_formula(*given)
    assert torch.allclose(out, expected, atol=1e-12)
    for a, b in zip(gradients(out, given), gradients(expected, given), strict=True):
        assert torch.allclose(a, b, atol=1e-12)
    with torch.no_grad():
        assert torch.allclose(attend_in_blocks(*given, blocks, SCALE), expected, atol=1e-12)


def test_dropped_weights_are_zero_there_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_attention, "BLOCK", 1)  # a head of a sequence at a time, in order
    drawn: list[Tensor] = []
    draw = block_attention.draw_signs

    def remember(shape: Sequence[int], p: float) -> Tensor:
        drawn.append(draw(shape, p))
        return drawn[-1]

    monkeypatch.setattr(block_attention, "draw_signs", remember)
    given = inputs()
    torch.manual_seed(1)
    out = attend_in_blocks(*given, blocks_of(LENGTHS, H), SCALE, 0.25)
    signs = [torch.cat(drawn[i : i + H]) for i in range(0, len(drawn), H)]
    kept = [(s[:, :n, :n] > 0).double() / 0.75 for s, n in zip(signs, LENGTHS, strict=True)]
    assert 0.15 < (kept[-1] == 0).double().mean() < 0.35
    expected = by_formula(*given, factors=kept)
    assert torch.allclose(out, expected, atol=1e-12)
    for a, b in zip(gradients(out, given), gradients(expected, given), strict=True):
        assert torch.allclose(a, b, atol=1e-12)


@pytest.mark.usefixtures("block_size")
def test_sequences_and_what_follows_them_do_not_see_each_other() -> None:
    given = inputs()
    out = attend_in_blocks(*given, blocks_of(LENGTHS, H), SCALE, 0.1)
    assert not out[:, sum(LENGTHS) :].any()
    by_last = torch.autograd.grad(out[:, sum(LENGTHS[:-1]) :].sum(), given)
    for gradient in by_last:
        assert not gradient[:, : sum(LENGTHS[:-1])].any()
        assert not gradient[:, sum(LENGTHS) :].any()


def test_blocks_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_attention, "BLOCK", 2 * 2 * 16**2)
    first, second = blocks_of((5, 4, 6), heads=2)
    assert (first.words, first.lengths, first.length) == (slice(0, 9), (5, 4), 16)
    assert first.place_T is not None
    assert first.place_T.tolist() == [0, 1, 2, 3, 4, 16, 17, 18, 19]
    assert first.bias_N1L is not None
    assert first.bias_N1L[1, 0, 3:5].tolist() == [0, -torch.inf]
    assert (second.words, second.length, second.place_T) == (slice(9, 15), 16, None)
    (full,) = blocks_of((32,), heads=2)
    assert full.bias_N1L is None
    assert full.n_heads == 1


@pytest.mark.parametrize(("apart", "blocks"), [(2 * (32**2 - 16**2), 1), (2 * (32**2 - 16**2) - 1, 2)])
def test_sequences_are_filled_up_unless_that_costs_more_than_a_block(
    apart: int, blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_attention, "APART", apart)
    assert len(blocks_of((3, 20), heads=2)) == blocks


@pytest.mark.parametrize("lengths", [(0, 3), (3, 0, 2)])
def test_a_sequence_without_a_word_harms_no_other(lengths: tuple[int, ...]) -> None:
    given = inputs(lengths)
    out = attend_in_blocks(*given, blocks_of(lengths, H), SCALE, 0.1)
    assert out[:, sum(lengths) :].isfinite().all()
    assert all(gradient.isfinite().all() for gradient in gradients(out, given))


def test_bf16_keeps_its_type_and_is_near() -> None:
    given = inputs()
    half = [x.detach().bfloat16().requires_grad_() for x in given]
    out = attend_in_blocks(*half, blocks_of(LENGTHS, H), SCALE)
    assert out.dtype == torch.bfloat16
    assert torch.allclose(out.double(), by_formula(*given), atol=0.03)
    for a, b in zip(torch.autograd.grad(out.sum(), half), gradients_of_sum(given), strict=True):
        assert a.dtype == torch.bfloat16
        assert torch.allclose(a.double(), b, atol=0.05)


def gradients_of_sum(given: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(by_formula(*given).sum(), given)
