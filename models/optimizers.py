"""Optimisers of BERT's papers over named parameters, and their learning-rate schedule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

NAMES = ("adamw", "bert_adam")


def make_optimizer(
    name: str,
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    *,
    learning_rate: float,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float | None = None,
) -> torch.optim.Optimizer:
    """An optimiser over the parameters that need a gradient, with weight decay on matrices only.

    name       "adamw" (Loshchilov and Hutter 2019) or "bert_adam" (``BertAdam``)
    epsilon    by default 1e-8 for AdamW and Google's 1e-6 for its own
    """
    groups = decay_groups(named_parameters, weight_decay)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, eps=epsilon or 1e-8, fused=True)
    if name == "bert_adam":
        return BertAdam(groups, lr=learning_rate, betas=betas, eps=epsilon or 1e-6)
    raise ValueError(f"no optimiser '{name}' (there are: {', '.join(NAMES)})")


def decay_groups(named_parameters: Iterable[tuple[str, nn.Parameter]], weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups: matrices with ``weight_decay``; biases and norms, which are vectors, without.

    Google's code excludes by the names LayerNorm, layer_norm and bias: in BERT the same parameters, but names differ
    between encoders and a name that never matches decays everything unnoticed.
    """
    trained = [p for _, p in named_parameters if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [g for g in groups if g["params"]]


class BertAdam(torch.optim.AdamW):
    """The Adam of google-research/bert: no bias correction, weight decay decoupled.

    m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  w <- w - lr (m / (sqrt(v) + eps) + decay w)

    AdamW divides m by 1 - b1^step and v by 1 - b2^step, which are one when ``step`` is large. So this is torch's
    fused AdamW, one pass over memory, that starts to count far along.
    """

    FIRST_STEP = 2.0**20
    """0.999^FIRST_STEP is below the smallest float64 that changes one, and float32 counts on from here by ones."""

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
    ) -> None:
        if max(betas) > 0.9999:
            raise ValueError(f"betas above 0.9999 would leave a bias correction: {betas}")
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=True)
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter] = {
                    "step": torch.full((), self.FIRST_STEP, dtype=torch.float32, device=parameter.device),
                    "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                    "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                }


def linear_warmup_decay(step: int, total_steps: int, warmup: float) -> float:
    """The share of the highest learning rate at ``step`` (from 0): up from 0 over the warm-up, then down to 0.

    warmup    share of ``total_steps``, rounded down to whole steps as in google-research/bert
    """
    warmup_steps = int(warmup * total_steps)
    if step < warmup_steps:
        return step / warmup_steps
    return max(0.0, (total_steps - step) / max(1, total_steps - warmup_steps))
