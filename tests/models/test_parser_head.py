from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from models.encoder import Encoded
from models.parser_head import READERS, TAGS, ParserHead, Sizes, log_probabilities, many_classes, smoothed_nll

SIZES = Sizes(
    width=16,
    n_layers=2,
    n_upos=3,
    n_feats=40,
    n_lemmas=50,
    n_deprels=4,
    arc_width=6,
    label_width=5,
    dropout=0.0,
    layer_dropout=0.0,
    always_drops=False,
)


def encoded(rows: int, length: int) -> Encoded:
    torch.manual_seed(1)
    layers = tuple(torch.randn(rows, length, 16) for _ in range(3))
    return Encoded(last_BLD=layers[-1], layers=layers, pooled_BD=None, words=None)


def test_smoothing_by_hand() -> None:
    """Probabilities .5, .25, .25, target 0, smoothing .3: -(.7 + .1) ln .5 - .1 ln .25 - .1 ln .25."""
    log_p = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]).log()
    loss = smoothed_nll(log_p, torch.tensor([0, -1]), 0.3)
    assert loss.tolist() == [pytest.approx(0.8 * math.log(2) + 0.2 * math.log(4)), 0.0]
    torch.testing.assert_close(smoothed_nll(log_p, torch.tensor([1, 2]), 0.0), -log_p[:, 1])


@pytest.mark.parametrize(("classes", "cutoffs"), [(150, [10, 30, 150]), (30, [2, 6, 30])])
def test_many_classes_share_an_adaptive_softmax(classes: int, cutoffs: list[int]) -> None:
    layer = many_classes(64, classes)
    assert isinstance(layer, nn.AdaptiveLogSoftmaxWithLoss)
    assert layer.cutoffs == cutoffs
    total = log_probabilities(layer, torch.randn(5, 64)).exp().sum(-1)
    torch.testing.assert_close(total, torch.ones(5))


@pytest.mark.parametrize("classes", [5, 150])
def test_tags_are_scored_in_float32_under_autocast(classes: int) -> None:
    torch.manual_seed(0)
    layer, x = many_classes(64, classes), torch.randn(5, 64)
    expected = log_probabilities(layer, x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(log_probabilities(layer, x), expected)


@pytest.mark.parametrize("classes", [1, 2, 5, 7])
def test_a_few_classes_have_a_plain_layer(classes: int) -> None:
    assert isinstance(many_classes(16, classes), nn.Linear)


def test_the_first_piece_of_every_word_is_read_from_every_layer_but_the_embeddings() -> None:
    torch.manual_seed(0)
    head = ParserHead(SIZES).eval()
    input_ = encoded(2, 4)
    first, mask = torch.tensor([[1, 3], [6, 0]]), torch.tensor([[True, True], [True, False]])
    scores = head(input_, first, mask)
    assert {name: list(scores.tags[name].shape) for name in TAGS} == {
        "upos": [3, 3],
        "feats": [3, 40],
        "lemmas": [3, 50],
    }
    assert list(scores.arcs_NH.shape) == [3, 3]
    torch.testing.assert_close(scores.arcs_NH.exp().sum(-1), torch.ones(3))
    for layer, row, at, matters in [
        (0, 0, 1, False),
        (1, 0, 1, True),
        (2, 0, 3, True),
        (2, 1, 2, True),
        (1, 0, 2, False),
    ]:
        changed = encoded(2, 4)
        changed.layers[layer][row, at] += 1
        again = head(changed, first, mask)
        assert torch.equal(again.tags["upos"], scores.tags["upos"]) is not matters


def test_labels_of_chosen_arcs_are_those_of_all_arcs() -> None:
    torch.manual_seed(0)
    head = ParserHead(SIZES).eval()
    nn.init.normal_(head.parser.labels.weight)
    first, mask = torch.tensor([[1, 2, 0], [5, 6, 7]]), torch.tensor([[True, True, False], [True, True, True]])
    scores = head(encoded(2, 4), first, mask)
    heads = torch.tensor([2, 0, 3, 1, 0])
    chosen = head.label_scores(scores, heads)
    every = head.all_label_scores(scores, slice(2, 5), 1)
    assert list(every.shape) == [3, 4, 4]
    torch.testing.assert_close(chosen[2:], every[torch.arange(3), heads[2:]])


def test_every_task_has_an_attention_of_its_own() -> None:
    head = ParserHead(SIZES)
    assert head.layer_shares() == {name: [0.5, 0.5] for name in READERS}


@pytest.mark.parametrize("name", READERS)
def test_a_task_reads_its_own_mix_and_no_other(name: str) -> None:
    torch.manual_seed(0)
    head = ParserHead(SIZES).eval()
    nn.init.normal_(head.parser.arcs.weight)
    before = read(head)
    with torch.no_grad():
        head.get_parameter(f"attention.{name}.weight")[0] += 1
    after = read(head)
    assert [reader for reader in READERS if not torch.equal(before[reader], after[reader])] == [name]


def test_mixes_are_dropped_out_in_training_only() -> None:
    torch.manual_seed(0)
    head = ParserHead(replace(SIZES, dropout=0.5))
    nn.init.normal_(head.parser.arcs.weight)
    dropped, whole = read(head.train()), read(head.eval())
    assert not any(torch.equal(dropped[name], whole[name]) for name in READERS)
    head.dropout.p = 0.0
    assert all(torch.equal(read(head)[name], whole[name]) for name in READERS)


def read(head: ParserHead) -> dict[str, torch.Tensor]:
    """What each reader says of two words."""
    scores = head(encoded(1, 4), torch.tensor([[1, 3]]), torch.tensor([[True, True]]))
    return {**scores.tags, "dependencies": scores.arcs_NH}
