"""Which evaluation of a run was the best, and whether there is any use in going on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipeline import UserError


@dataclass
class Selection:
    """The best evaluation so far by one figure of the dev split."""

    by: str | None
    """The figure; with a minus before it the least is best. None: the last evaluation is taken."""
    patience: int | None
    """Evaluations in a row without a better one after which the run ends; None: never."""
    value: float | None = None
    step: int = 0
    """Where the best one was."""
    worse: int = 0
    """Evaluations since then."""

    @property
    def over(self) -> bool:
        return self.patience is not None and self.worse >= self.patience

    def better(self, step: int, figures: Mapping[str, float]) -> bool:
        """Take note of an evaluation; whether it is the best so far. UserError where it lacks the figure."""
        if self.by is None:
            return False
        name = self.by.removeprefix("-")
        if name not in figures:
            raise UserError(f"select_by: the dev split has no figure '{name}' (it has {', '.join(figures) or 'none'})")
        value = -figures[name] if self.by.startswith("-") else figures[name]
        value = -math.inf if math.isnan(value) else value
        if self.value is None or value > self.value:
            self.value, self.step, self.worse = value, step, 0
            return True
        self.worse += 1
        return False

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {name: value for name, value in asdict(self).items() if name not in ("by", "patience")}

    def load_state(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
