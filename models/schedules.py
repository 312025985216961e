"""How the learning rate rises and falls over a run."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["linear", "constant", "inverse_square_root", "polynomial"]


def share_of_peak(schedule: Schedule, step: int, total_steps: int, warmup: float, power: float = 1.0) -> float:
    """The share of the highest learning rate at ``step`` (from 0): up over the warm-up, then as ``schedule`` says.

    linear               down to 0 at the end
    constant             stays
    inverse_square_root  sqrt(warm-up steps / step), as in Vaswani et al. 2017, where steps count from 1
    polynomial           (share of the steps that are left after the warm-up) ^ ``power``

    warmup    share of ``total_steps``, rounded down to whole steps as in google-research/bert; from 0 up
    """
    warmup_steps = int(warmup * total_steps)
    if schedule == "inverse_square_root":
        peak = max(1, warmup_steps)
        return min((step + 1) / peak, math.sqrt(peak / (step + 1)))
    if step < warmup_steps:
        return step / warmup_steps
    if schedule == "constant":
        return 1.0
    left = max(0.0, (total_steps - step) / max(1, total_steps - warmup_steps))
    return left**power if schedule == "polynomial" else left
