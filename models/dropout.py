"""Dropout at half its price on a CPU, where drawing a number for each element takes as long as a linear layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEPS = 1 << 16
"""Sixteen bits of a generator decide on an element."""


def draw_signs(shape: Sequence[int], p: float) -> Tensor:
    """-1/2 with probability ``p``, to within 1 / STEPS, else +1/2; in float32.

    From a fast generator, whose seed torch's global one draws.
    """
    n = math.prod(shape)
    generator = np.random.Generator(np.random.SFC64(int(torch.randint(2**63 - 1, ()))))
    drawn = torch.from_numpy(generator.integers(-(2**63), 2**63 - 1, (n + 3) // 4, np.int64, endpoint=True))
    signs: Tensor = drawn.view(torch.int16)[:n].view(*shape).float()
    return signs.sub_(_dropped(p) - STEPS // 2 - 0.5).clamp_(-0.5, 0.5)


def gain(p: float) -> float:
    """What those that are kept grow by: one over their share."""
    return STEPS / (STEPS - _dropped(p))


def _dropped(p: float) -> int:
    """Of STEPS; not all."""
    return min(round(p * STEPS), STEPS - 1)


def dropout(x: Tensor, p: float) -> Tensor:
    """Elements of ``x`` are 0 with probability ``p``, the others grow by 1 / (1 - p); from torch's global generator."""
    if x.device.type != "cpu":
        return F.dropout(x, p)
    return x * draw_signs(x.shape, p).add_(0.5).mul_(gain(p)).to(x.dtype)


class Dropout(nn.Dropout):
    """Takes the place of torch's."""

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p) if self.training and self.p else x


def replace_dropouts(model: nn.Module) -> None:
    """Every dropout of ``model`` by this one."""
    for module in model.modules():
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p))
