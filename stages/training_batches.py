"""What a rank computes: its micro-batches of every step and of the dev split.

Every rank draws only its own. A micro-batch is cut from the global batch in order of length, the same on any number
of ranks, and what is random in an example comes from the run's seed and the example's number in the order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from models.tasks import Batch, Task
from models.tasks.multi_task import own_examples
from models.tasks.task import GROUP, WINDOW, has_windows
from models.vocabulary import Vocabulary
from pipeline import UserError
from pipeline.store import read_part
from stages.example_order import ExampleOrder
from stages.examples import MappedExamples
from stages.micro_batches import cut
from stages.rank_group import Ranks

MOST_KEPT = 64
"""Micro-batches of a step that wait in memory; those of a larger step are drawn once for their counts and again when
their turn comes."""


@dataclass(frozen=True)
class MicroBatch:
    """A batch that is computed at once."""

    number: int
    """Among those of all ranks that belong together."""
    positions: np.ndarray
    """Of its examples."""
    batch: Batch


@dataclass(frozen=True)
class StepBatches:
    """This rank's share of a global batch."""

    counts: dict[str, float]
    """How many terms each part of the loss sums in all of its micro-batches."""
    micro_batches: Iterable[MicroBatch]
    """To be gone through once."""


class TrainingBatches:
    """Drawn from the examples of ``parts``, or one ``group`` of them. ``out`` is where the positions of their splits
    are written."""

    def __init__(
        self,
        task: Task,
        vocabulary: Vocabulary,
        parts: Sequence[Path],
        out: Path,
        ranks: Ranks,
        *,
        batch_size: int,
        micro_batch_tokens: int,
        seed: int,
        group_by_length: bool = False,
        group: str | None = None,
    ) -> None:
        self.task, self.vocabulary, self.ranks = task, vocabulary, ranks
        self.micro_batch_tokens, self.seed = micro_batch_tokens, seed
        self.examples = MappedExamples((own_examples(read_part(part), task, group) for part in parts), out)
        self._ratios, self._only = task.groups(), group
        groups = self._groups_of("train")
        filled = [(g, r) for g, r in zip(groups, self._ratios.values() or (1.0,), strict=True) if len(g)]
        if not filled:
            raise UserError("the examples have no row whose split is 'train'")
        lengths = self.examples.lengths if group_by_length else None
        self.order = ExampleOrder([g for g, _ in filled], [r for _, r in filled], batch_size, seed, lengths)

    def dev(self, limit: int | None = None) -> np.ndarray:
        """Positions of the dev split; of each group about ``limit``, evenly spaced, all or none of what is judged
        together."""
        return np.concatenate([self._sample(group, limit) for group in self._groups_of("dev")])

    def _sample(self, positions: np.ndarray, limit: int | None) -> np.ndarray:
        if limit is None or len(positions) <= limit:
            return positions
        starts = self._starts(positions)
        ends = np.append(starts[1:], len(positions))
        taken = min(limit, max(1, limit * len(starts) // len(positions)))
        chosen = np.arange(taken) * len(starts) // max(1, taken)
        return np.concatenate([positions[:0], *(positions[starts[i] : ends[i]] for i in chosen)])

    def _starts(self, positions: np.ndarray) -> np.ndarray:
        """Where among ``positions`` begins what is judged together."""
        starts = np.ones(len(positions), bool)
        if has_windows(self.task):
            starts = self.examples.column(WINDOW, positions) == 0
        for name in self.task.judged_by:
            values = self.examples.column(name, positions).tolist()
            starts[1:] &= [value is None or value != before for before, value in pairwise(values)]
        return np.flatnonzero(starts)

    def of_step(self, step: int) -> StepBatches:
        """This rank's share of the global batch of ``step``."""
        examples = self.order.step(step)
        counts = dict.fromkeys(self.task.loss_terms, 0.0)
        kept: list[MicroBatch] = []
        n = 0
        for n, micro in enumerate(self.of(*examples), 1):
            for name in counts:
                counts[name] += micro.batch.counts[name]
            if n <= MOST_KEPT:
                kept.append(micro)
        return StepBatches(counts, kept if n <= MOST_KEPT else _one_ahead(self.of(*examples)))

    def of(self, positions: np.ndarray, numbers: np.ndarray) -> Iterator[MicroBatch]:
        """This rank's micro-batches of the examples at ``positions``, each drawn by a generator of its number's own."""
        groups = self.examples.column(GROUP, positions) if self._ratios else None
        chunks = cut(self.examples.lengths(positions), self.micro_batch_tokens, groups)
        for micro in range(self.ranks.rank, len(chunks), self.ranks.size):
            chunk = chunks[micro]
            drawn = [self._draw(int(p), int(n)) for p, n in zip(positions[chunk], numbers[chunk], strict=True)]
            yield MicroBatch(micro, positions[chunk], self.task.collate(drawn, self.vocabulary))

    def _draw(self, position: int, number: int) -> dict[str, object]:
        rng = np.random.default_rng([self.seed, number])
        return self.task.draw(self.examples, position, rng, self.vocabulary)

    def _groups_of(self, split: str) -> list[np.ndarray]:
        """Positions of a split's examples in each group."""
        return [self.examples.positions_of(split, group, self.task.seen) for group in self._ratios or [self._only]]


def _one_ahead(batches: Iterator[MicroBatch]) -> Iterator[MicroBatch]:
    """The same, each made by another thread while the one before is worked on."""
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(next, batches, None)
        while batch := coming.result():
            coming = ahead.submit(next, batches, None)
            yield batch
