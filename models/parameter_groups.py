"""Which of a model's parameters learn, how fast, and which of them decay: by their depth in the encoder."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from torch import nn

HEAD = "head."
"""What the names of a task head's parameters begin with."""
_LAYER = re.compile(r"\.layers?\.(\d+)\.")
_LOWEST = ("embeddings", "relative_attention_bias")

Named = Iterable[tuple[str, nn.Parameter]]


def depth(name: str, n_layers: int) -> int:
    """How deep a parameter of the encoder lies: 0 the embeddings, 1 … n_layers its layers, n_layers + 1 what is above.

    Encoders whose layers share their weights have none that are numbered: all of it is above.
    """
    if found := _LAYER.search(name):
        return int(found[1]) + 1
    return 0 if any(part in name for part in _LOWEST) else n_layers + 1


def freeze(named_parameters: Named, layers: int, n_layers: int) -> None:
    """Let the embeddings and the lowest ``layers`` layers of the encoder stay as they are; none where it is 0.

    ValueError where the layers cannot be told apart, as of an encoder whose layers share their weights.
    """
    if not layers:
        return
    encoder = [(name, parameter) for name, parameter in named_parameters if not name.startswith(HEAD)]
    if not any(_LAYER.search(name) for name, _ in encoder):
        raise ValueError("the encoder's layers share their weights: some of them cannot be frozen")
    for name, parameter in encoder:
        if depth(name, n_layers) <= layers:
            parameter.requires_grad_(False)


def parameter_groups(
    named_parameters: Named, *, weight_decay: float, n_layers: int, layer_decay: float = 1.0, head_rate: float = 1.0
) -> list[dict[str, Any]]:
    """An optimiser's groups of the parameters that learn. ``scale`` is what their learning rate is multiplied by.

    The head has ``head_rate``, what else lies above the encoder's layers 1, the last layer ``layer_decay``, the one
    below that its square, and so on down to the embeddings (Howard and Ruder 2018, section 3.2).

    Matrices have ``weight_decay``; biases and norms, which are vectors, have none, and ``adapt`` false. Google's code
    excludes by the names LayerNorm, layer_norm and bias: in BERT the same parameters, but names differ between encoders
    and a name that never matches decays everything unnoticed.
    """
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, parameter in named_parameters:
        if not parameter.requires_grad:
            continue
        above = n_layers + 1 - depth(name, n_layers)
        scale = head_rate if name.startswith(HEAD) else layer_decay**above
        matrix = parameter.ndim > 1
        group = {"params": [], "weight_decay": weight_decay if matrix else 0.0, "scale": scale, "adapt": matrix}
        groups.setdefault((scale, matrix), group)["params"].append(parameter)
    return list(groups.values())
