from __future__ import annotations

import pytest
import torch

from models.summary_layers import (
    LAYERS,
    InterSentenceTransformer,
    LayerNormLstm,
    SentenceLstm,
    sinusoids,
    summary_layer,
)

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


def test_only_the_linear_layer_does_not_see_the_order(layer: torch.nn.Module) -> None:
    torch.manual_seed(1)
    vectors, mask = torch.randn(1, 4, WIDTH), torch.ones(1, 4, dtype=torch.bool)
    order = [2, 1, 0, 3]
    same = torch.allclose(layer(vectors[:, order], mask), layer(vectors, mask)[:, order], atol=1e-4)
    assert same == (type(layer).__name__ == "LinearScores")


def test_the_transformer_by_hand() -> None:
    """Positions; attention and feed-forward net of two layers, each added to what it was given and, but for the first
    attention, of its norm; a last norm; scores."""
    torch.manual_seed(0)
    layer = InterSentenceTransformer(WIDTH, dropout=0.1).eval()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    vectors = torch.randn(1, 3, WIDTH)

    def norm(x: torch.Tensor, by: torch.nn.Module) -> torch.Tensor:
        spread = (x.var(-1, unbiased=False, keepdim=True) + 1e-6).sqrt()
        return (x - x.mean(-1, keepdim=True)) / spread * by.weight + by.bias

    x = vectors[0] + sinusoids(3, WIDTH)
    assert [(each.attention.num_heads, each.feed_forward[1].out_features) for each in layer.layers] == [(8, 2048)] * 2
    for number, each in enumerate(layer.layers):
        normed = norm(x, each.attention_norm) if number else x
        projections = zip(each.attention.in_proj_weight.chunk(3), each.attention.in_proj_bias.chunk(3), strict=True)
        q, k, v = ((normed @ w.T + b).view(3, 8, 2).transpose(0, 1) for w, b in projections)
        heads = (q @ k.transpose(1, 2) / 2**0.5).softmax(-1) @ v
        x = x + each.attention.out_proj(heads.transpose(0, 1).reshape(3, WIDTH))
        first, wide, _, _, narrow, _ = each.feed_forward
        h = norm(x, first) @ wide.weight.T + wide.bias
        h = h * 0.5 * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (h + 0.044715 * h**3)))
        x = x + h @ narrow.weight.T + narrow.bias
    expected = norm(x, layer.norm) @ layer.score.weight[0] + layer.score.bias
    torch.testing.assert_close(layer(vectors, torch.ones(1, 3, dtype=torch.bool))[0], expected)


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


def test_the_lstm_s_states_of_both_directions_are_added_to_the_vectors() -> None:
    torch.manual_seed(0)
    layer = SentenceLstm(WIDTH, dropout=0.1).eval()
    vectors, mask = torch.randn(1, 4, WIDTH), torch.ones(1, 4, dtype=torch.bool)
    ahead, back = layer.forwards(vectors, mask), layer.backwards(vectors.flip(1), mask).flip(1)
    x = vectors + torch.cat([ahead, back], -1)
    torch.testing.assert_close(layer(vectors, mask), x @ layer.score.weight[0] + layer.score.bias)


def test_positions_are_sines_and_cosines() -> None:
    table = sinusoids(4, 6)
    assert table[0].tolist() == [0, 1, 0, 1, 0, 1]
    assert table[3, 2].item() == pytest.approx(torch.sin(torch.tensor(3 / 10000 ** (2 / 6))).item())


def test_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="linear, transformer, lstm"):
        summary_layer("gru", WIDTH, 0.1)
