"""Adamax with decoupled weight decay, the optimiser of MT-DNN."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class DecoupledAdamax(torch.optim.Adamax):
    """Adam by the largest gradient instead of the mean square (Kingma and Ba 2015, section 7.1).

    m <- b1 m + (1 - b1) g;  u <- max(b2 u, |g| + eps);  w <- w - lr (m / ((1 - b1^step) u) + decay w)

    torch's own adds the decay to the gradient, where u divides it away.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        decays = [group["weight_decay"] for group in self.param_groups]
        for group in self.param_groups:
            trained = [p for p in group["params"] if p.grad is not None]
            if group["weight_decay"] and trained:
                torch._foreach_mul_(trained, 1 - group["lr"] * group["weight_decay"])
            group["weight_decay"] = 0.0
        super().step()
        for group, decay in zip(self.param_groups, decays, strict=True):
            group["weight_decay"] = decay
