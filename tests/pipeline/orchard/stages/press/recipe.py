"""An abstract field, as a task is one, and its two kinds. No stage: it has not the name of its file."""

from abc import ABC, abstractmethod
from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe(ABC):
    """How a fruit becomes juice."""

    sugar_g: float = 0.0
    """Sugar for each fruit, in grams."""

    @abstractmethod
    def millilitres(self, weight_g: float) -> float: ...


@dataclass(frozen=True)
class Plain(Recipe):
    """All of the fruit."""

    def millilitres(self, weight_g: float) -> float:
        return weight_g


@dataclass(frozen=True)
class Diluted(Recipe):
    """With water."""

    water: float = 0.5
    """Share of water."""

    def __post_init__(self) -> None:
        if not 0 <= self.water < 1:
            raise ValueError(f"Diluted: water must be at least 0 and below 1, not {self.water}")

    def millilitres(self, weight_g: float) -> float:
        return weight_g / (1 - self.water)
