from __future__ import annotations

import pytest
import torch

from models.summary_layers import LAYERS, LayerNormLstm, sinusoids, summary_layer

WIDTH = 16


@pytest.fixture(params=LAYERS)
def layer(request: pytest.FixtureRequest) -> torch.nn.Module:
    torch.manual_seed(0)
    return summary_layer(request.param, WIDTH, dropout=0.1).eval()


def test_padding_changes_nothing(layer: torch.nn.Module) -> None:
    torch.manual_seed(1)
    vectors = torch.randn(2, 5, WIDTH)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    together = layer(vectors, mask)
    alone = layer(vectors[1:, :3], mask[1:, :3])
    assert together.shape == (2, 5)
    torch.testing.assert_close(together[1:, :3], alone)


def test_only_the_linear_layer_scores_every_sentence_by_itself(layer: torch.nn.Module) -> None:
    torch.manual_seed(1)
    vectors, mask = torch.randn(1, 4, WIDTH), torch.ones(1, 4, dtype=torch.bool)
    before = layer(vectors, mask)
    vectors[0, 3] += 1.0
    moved = (layer(vectors, mask) != before)[0].tolist()
    assert moved[3]
    assert moved[:3] == [type(layer).__name__ != "LinearScores"] * 3


def test_the_lstm_steps_as_the_paper_writes() -> None:
    """One step from a zero state, norms at their start (no scale, no shift)."""
    torch.manual_seed(0)
    lstm = LayerNormLstm(3, 2)
    x = torch.randn(1, 1, 3)

    def norm(v: torch.Tensor) -> torch.Tensor:
        return (v - v.mean()) / (v.var(unbiased=False) + 1e-5).sqrt()

    gates = norm(lstm.of_input.weight @ x[0, 0] + lstm.of_input.bias) + norm(lstm.of_state.bias)
    forget, take, give, new = gates.chunk(4)
    cell = torch.sigmoid(forget) * 0 + torch.sigmoid(take) * torch.tanh(new)
    expected = torch.sigmoid(give) * torch.tanh(norm(cell))
    torch.testing.assert_close(lstm(x, torch.ones(1, 1, dtype=torch.bool))[0, 0], expected)


def test_positions_are_sines_and_cosines() -> None:
    table = sinusoids(4, 6)
    assert table[0].tolist() == [0, 1, 0, 1, 0, 1]
    assert table[3, 2].item() == pytest.approx(torch.sin(torch.tensor(3 / 10000 ** (2 / 6))).item())


def test_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="linear, transformer, lstm"):
        summary_layer("gru", WIDTH, 0.1)
