"""Which examples each step of a training run is on: known by arithmetic alone, on any worker, at any step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stages.micro_batches import seed_of
from stages.shuffle import permute

POOL = 50
"""Batches that are made together of examples in order of length."""


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
    lengths: Callable[[np.ndarray], np.ndarray] | None = None
    """The examples' lengths by their positions, where batches are to be of examples of about one length.

    A pass is then shuffled, sorted by length in pools of ``POOL`` batches, and the batches of a pool come in a random
    order. A batch that runs on into the next pass has examples of any length.
    """

    def steps_in(self, epochs: float) -> int:
        """Steps of so many passes, rounded up."""
        if len(self.groups) == 1:
            return math.ceil(epochs * len(self.groups[0]) / self.batch_size)
        return math.ceil(epochs * sum(self._batches()))

    def step(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the examples of ``step``, and a number for each that no other step gives to one."""
        group, batch = self._batch_of(step)
        size = self._size(group)
        places = batch * size + np.arange(size)
        passes, within = np.divmod(places, len(self.groups[group]))
        found = [self._of_pass(group, int(number), within[passes == number]) for number in np.unique(passes)]
        return np.concatenate(found), places * len(self.groups) + group

    def _of_pass(self, group: int, number: int, within: np.ndarray) -> np.ndarray:
        """Positions of the examples that a batch takes from the places ``within`` a pass."""
        positions, size = self.groups[group], self._size(group)
        seed = seed_of(self.seed, *((number,) if len(self.groups) == 1 else (number, group)))
        begun = -number * len(positions) % size  # places that the batch before the first whole one fills
        batch, whole = (int(within[0]) - begun) // size, (len(positions) - begun) // size
        if self.lengths is None or not 0 <= batch < whole:
            return np.asarray(positions[permute(within, len(positions), seed)])
        first = batch - batch % POOL
        batches = min(POOL, whole - first)
        pool = begun + first * size + np.arange(batches * size)
        pool = np.asarray(positions[permute(pool, len(positions), seed)])
        pool = pool[np.argsort(self.lengths(pool), kind="stable")]
        place = int(permute(np.array([batch - first]), batches, seed_of(seed, first))[0])
        return pool[place * size : (place + 1) * size]

    def _size(self, group: int) -> int:
        """Examples of a group's batches."""
        return self.batch_size if len(self.groups) == 1 else min(self.batch_size, len(self.groups[group]))

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
