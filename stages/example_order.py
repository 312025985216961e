"""Which examples each step of a training run is on: known by arithmetic alone, on any worker, at any step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.micro_batches import seed_of
from stages.shuffle import permute


@dataclass(frozen=True)
class ExampleOrder:
    """Passes over examples in a new random order each time, in batches that may run on into the next pass.

    With several groups a batch is of one of them. An epoch then has the batches of all groups, in a new random order;
    a group's own passes go on from epoch to epoch, so that with a ratio of a half it is seen whole in two.
    """

    groups: Sequence[np.ndarray]
    """Positions of each group's examples; one group for an order without groups."""
    ratios: Sequence[float]
    """How often an epoch passes over each group."""
    batch_size: int
    """Examples a step; of a group that has fewer, all of it."""
    seed: int

    def steps_in(self, epochs: float) -> int:
        """Steps of so many passes, rounded up."""
        if len(self.groups) == 1:
            return math.ceil(epochs * len(self.groups[0]) / self.batch_size)
        return math.ceil(epochs * sum(self._batches()))

    def step(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the examples of ``step``, and a number for each that no other step gives to one."""
        group, batch = self._batch_of(step)
        positions = self.groups[group]
        size = self.batch_size if len(self.groups) == 1 else min(self.batch_size, len(positions))
        places = batch * size + np.arange(size)
        passes, within = np.divmod(places, len(positions))
        order = np.empty_like(within)
        for number in np.unique(passes):
            numbers = (int(number),) if len(self.groups) == 1 else (int(number), group)
            mine = passes == number
            order[mine] = permute(within[mine], len(positions), seed_of(self.seed, *numbers))
        return np.asarray(positions[order]), places * len(self.groups) + group

    def _batches(self) -> list[int]:
        """Batches of each group in an epoch."""
        return [
            math.ceil(ratio * len(positions) / min(self.batch_size, len(positions)))
            for positions, ratio in zip(self.groups, self.ratios, strict=True)
        ]

    def _batch_of(self, step: int) -> tuple[int, int]:
        """The group that a step is on, and the number of its batch among all that the group ever has."""
        if len(self.groups) == 1:
            return 0, step
        batches = self._batches()
        epoch, slot = divmod(step, sum(batches))
        place = int(permute(np.array([slot]), sum(batches), seed_of(self.seed, epoch, len(batches), sum(batches)))[0])
        ends = np.cumsum(batches)
        group = int(np.searchsorted(ends, place, side="right"))
        return group, epoch * batches[group] + place - int(ends[group] - batches[group])
