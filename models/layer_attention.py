"""A learned mix of all layers of an encoder, one for each thing that is read from it (Kondratyuk and Straka 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LayerAttention(nn.Module):
    """``scale · Σ softmax(weight)_l · layer_l`` with layer dropout (section 3.2; Peters et al. 2018 without it).

    n_layers        layers mixed
    dropout         probability that a layer is left out of a training step; the others share its weight
    always_drops    leave layers out also when predicting, as the reference implementation does
    """

    def __init__(self, n_layers: int, dropout: float = 0.1, always_drops: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_layers))
        self.scale = nn.Parameter(torch.ones(()))
        self.dropout = dropout
        self.always_drops = always_drops

    def forward(self, layers_LND: Tensor) -> Tensor:
        """[L, N, D] to [N, D]."""
        weight: Tensor = self.weight
        if self.dropout and (self.training or self.always_drops):
            dropped = torch.rand(weight.shape, device=weight.device) < self.dropout
            weight = weight.masked_fill(dropped, -1e20)  # all of them dropped: all alike
        mix = self.scale * weight.softmax(0)
        return torch.einsum("l,lnd->nd", mix.to(layers_LND.dtype), layers_LND)

    def shares(self) -> list[float]:
        """The share of every layer: positive numbers that add up to one."""
        shares: list[float] = self.weight.detach().softmax(0).tolist()
        return shares
