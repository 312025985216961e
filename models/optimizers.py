"""Optimisers of BERT's papers by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor

from models.adamax import DecoupledAdamax
from models.lamb import Lamb, LambForm

OptimizerName = Literal["adamw", "bert_adam", "adamax", "lamb"]


def make_optimizer(
    name: OptimizerName,
    groups: list[dict[str, Any]],
    *,
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float | None = None,
    lamb: LambForm = LambForm(),
) -> torch.optim.Optimizer:
    """An optimiser over parameter groups, each with its ``weight_decay``.

    name       "adamw" (Loshchilov and Hutter 2019), "bert_adam" (``BertAdam``), "adamax" (``DecoupledAdamax``) or
               "lamb" (``Lamb``, in the form ``lamb``)
    epsilon    by default 1e-8, and Google's 1e-6 for its own Adam and LAMB
    """
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, eps=epsilon or 1e-8, fused=True)
    if name == "bert_adam":
        return BertAdam(groups, lr=learning_rate, betas=betas, eps=epsilon or 1e-6)
    if name == "adamax":
        return DecoupledAdamax(groups, lr=learning_rate, betas=betas, eps=epsilon or 1e-8)
    return Lamb(groups, lr=learning_rate, betas=betas, eps=epsilon or 1e-6, form=lamb)


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
