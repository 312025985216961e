from __future__ import annotations

import pytest
import torch

from models.layer_attention import LayerAttention

LAYERS = torch.tensor([1.0, 10.0, 100.0]).view(3, 1, 1).expand(3, 4, 2)


def test_it_begins_with_the_mean_of_all_layers() -> None:
    mix = LayerAttention(3, dropout=0.0)(LAYERS)
    torch.testing.assert_close(mix, torch.full((4, 2), 37.0))


def test_weights_go_through_a_softmax_and_a_scale() -> None:
    attention = LayerAttention(3, dropout=0.0)
    with torch.no_grad():
        attention.weight.copy_(torch.tensor([0.0, 0.0, 2.0]))
        attention.scale.fill_(2.0)
    e2 = 7.389056
    torch.testing.assert_close(attention(LAYERS), torch.full((4, 2), 2 * (11 + 100 * e2) / (2 + e2)))
    assert attention.shares() == pytest.approx([1 / (2 + e2), 1 / (2 + e2), e2 / (2 + e2)])


def test_a_dropped_layer_leaves_its_weight_to_the_others() -> None:
    attention = LayerAttention(3, dropout=0.5).train()
    torch.manual_seed(0)
    means = {round(attention(LAYERS)[0, 0].item(), 3) for _ in range(200)}
    # every set of layers that may stay; all dropped are all alike
    assert means == {1.0, 10.0, 100.0, 5.5, 50.5, 55.0, 37.0}


def test_prediction_drops_nothing() -> None:
    attention = LayerAttention(3, dropout=0.5).eval()
    means = [attention(LAYERS).detach() for _ in range(50)]
    assert all(torch.equal(mean, means[0]) for mean in means)
    torch.testing.assert_close(means[0], torch.full((4, 2), 37.0))


def test_the_reference_drops_layers_when_predicting_too() -> None:
    attention = LayerAttention(3, dropout=0.5, always_drops=True).eval()
    torch.manual_seed(0)
    assert len({attention(LAYERS)[0, 0].item() for _ in range(50)}) > 1
