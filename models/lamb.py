"""LAMB: Adam whose steps are as long as the weights they change (You et al. 2020, arXiv 1904.00962)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class LambForm:
    """What differs between the paper's versions and its implementations."""

    debias: bool = False
    """Divide both moments by 1 - beta^step, as the paper's algorithm 2 and NVIDIA's do. The paper's appendix E and
    google-research/albert leave it out: the warm-up does the same."""
    phi_clip: tuple[float, float] | None = None
    """Bounds of a tensor's norm in the ratio, the paper's phi; none: the norm as it is."""
    pre_normalise: bool = False
    """Divide the whole gradient by its norm first, whatever that is, as NVIDIA describes NVLAMB. Its kernel divides
    only where the norm is above a bound, as Train's ``clip_norm`` does."""


class Lamb(torch.optim.Optimizer):
    """m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  r = m / (sqrt(v) + eps) + decay w
    w <- w - lr (phi(|w|) / |r|) r, tensor by tensor; the ratio is 1 where either norm is 0

    Groups with ``adapt`` false (biases and norms, as in google-research/albert) always have the ratio 1.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        form: LambForm = LambForm(),
    ) -> None:
        self.form = form
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "adapt": True})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        if self.form.pre_normalise and gradients:
            norm = torch.stack(torch._foreach_norm(gradients)).norm()
            torch._foreach_mul_(gradients, torch.where(norm > 0, 1 / norm, 1.0))
        for group in self.param_groups:
            trained = [p for p in group["params"] if p.grad is not None]
            if trained:
                self._step_group(group, trained)

    def _step_group(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        states = [self._state(p) for p in weights]
        gradients = [p.grad for p in weights if p.grad is not None]
        m, v, steps = ([s[name] for s in states] for name in ("exp_avg", "exp_avg_sq", "step"))
        b1, b2 = group["betas"]
        torch._foreach_add_(steps, 1.0)
        torch._foreach_lerp_(m, gradients, 1 - b1)
        torch._foreach_mul_(v, b2)
        torch._foreach_addcmul_(v, gradients, gradients, 1 - b2)
        ages = [float(step) for step in steps] if self.form.debias else []
        denominator = torch._foreach_sqrt(v)
        if self.form.debias:
            torch._foreach_div_(denominator, [(1 - b2**age) ** 0.5 for age in ages])
        torch._foreach_add_(denominator, group["eps"])
        r = list(torch._foreach_div(m, denominator))
        if self.form.debias:
            torch._foreach_div_(r, [1 - b1**age for age in ages])
        if group["weight_decay"]:
            torch._foreach_add_(r, weights, alpha=group["weight_decay"])
        if group["adapt"]:
            r = [ratio * update for ratio, update in zip(self._ratios(weights, r), r, strict=True)]
        torch._foreach_add_(weights, r, alpha=-group["lr"])

    def _ratios(self, weights: list[Tensor], updates: list[Tensor]) -> list[Tensor]:
        """phi(|w|) / |r| of each tensor."""
        w, r = (torch.stack(torch._foreach_norm(tensors)) for tensors in (weights, updates))
        phi = w if self.form.phi_clip is None else w.clamp(*self.form.phi_clip)
        return list(torch.where((w > 0) & (r > 0), phi / r, 1.0).unbind())

    def _state(self, parameter: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            state["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return state
