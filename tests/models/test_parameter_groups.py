from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from models.encoder import TaskModel
from models.parameter_groups import depth, freeze, parameter_groups
from models.tasks import VideoText
from tests.models.small_encoders import save_encoder


def test_biases_and_norms_do_not_decay() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.LayerNorm(4))
    frozen = nn.Parameter(torch.zeros(2, 2), requires_grad=False)
    groups = parameter_groups([*model.named_parameters(), ("frozen", frozen)], weight_decay=0.01, n_layers=2)
    shapes = [[tuple(p.shape) for p in group["params"]] for group in groups]
    assert shapes == [[(5, 4), (4, 4)], [(4,), (4,), (4,)]]
    assert [(g["weight_decay"], g["adapt"]) for g in groups] == [(0.01, True), (0.0, False)]


@pytest.mark.parametrize("kind", ["bert", "distilbert", "electra"])
def test_the_rate_falls_layer_by_layer(kind: str, tmp_path: Path) -> None:
    save_encoder(tmp_path, kind)
    model = TaskModel.start(tmp_path, VideoText(), seed=0)
    named = dict(model.named_parameters())
    scales = {id(p): g["scale"] for g in groups_of(model, layer_decay=0.5, head_rate=3.0) for p in g["params"]}
    found = {depth(name, 2): scales[id(p)] for name, p in named.items() if not name.startswith("head.")}
    assert found == {0: 0.125, 1: 0.25, 2: 0.5, 3: 1.0}
    assert {scales[id(p)] for name, p in named.items() if name.startswith("head.")} == {3.0}
    assert len(scales) == len(named)


def groups_of(model: TaskModel, **fields: float) -> list[dict]:
    return parameter_groups(model.named_parameters(), weight_decay=0.01, n_layers=2, **fields)


def test_frozen_layers_are_the_lowest_with_the_embeddings(tmp_path: Path) -> None:
    save_encoder(tmp_path)
    model = TaskModel.start(tmp_path, VideoText(), seed=0)
    freeze(model.named_parameters(), 0, 2)
    assert all(p.requires_grad for p in model.parameters())
    freeze(model.named_parameters(), 1, 2)
    learning = {n for n, p in model.named_parameters() if p.requires_grad}
    assert not [n for n in learning if "embeddings" in n or "layer.0." in n]
    assert {"pretrained.bert.encoder.layer.1.output.dense.weight", "head.weight"} <= learning


def test_layers_that_share_their_weights_cannot_be_frozen() -> None:
    shared = [
        ("pretrained.albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight", nn.Parameter(torch.ones(1)))
    ]
    freeze(shared, 0, 2)
    with pytest.raises(ValueError, match="share their weights"):
        freeze([*shared, ("head.layers.0.weight", nn.Parameter(torch.ones(1)))], 1, 2)


def test_a_layer_of_the_head_is_none_of_the_encoder() -> None:
    group = parameter_groups([("head.layers.0.weight", nn.Parameter(torch.ones(1, 1)))], weight_decay=0.1, n_layers=2)
    assert group[0]["scale"] == 1.0
