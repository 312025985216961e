"""What an executor is: runs mappers over parts and training loops over ranks.

``pipeline.local`` runs on this machine, ``pipeline.cluster`` on Ray; what they share is in ``pipeline.parts``
(one part, in a worker) and ``pipeline.workers`` (all parts, in the driver).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from pipeline.errors import UserError

UNGUARDED = 'a script needs `if __name__ == "__main__":` around what it runs'
"""What a worker process asks for that comes upon the run it was started for."""


@dataclass(frozen=True)
class Resources:
    """What one worker needs: ``cpus`` cores, and ``gpus`` devices where there are any.

    Workers share out all cores: on this machine each has the same number, on Ray one with a GPU has that GPU's share of
    its node's, for what it reads to keep up with the GPU. A worker's libraries are limited to its cores;
    ``torch.get_num_threads()`` tells a mapper how many it has.
    """

    cpus: int = 1
    gpus: float = 0


@dataclass(frozen=True)
class Rejected:
    """An item that could not be used: its id (for a row of a file, ``file:line``) and the reason."""

    item: str
    reason: str


class Mapper(Protocol):
    """Made once a worker. Called once an item, with the rows of each mapped input; returns the rows of its output.

    Rows that are bad while the item is not come back beside the table. An exception rejects the whole item.
    A mapper may also have ``prefetch(*tables)``: it is called for the next item before the current one runs and
    must return at once, so that reading overlaps with computing.
    And it may have ``how``, texts by name that say with what it computes, where workers may differ: they go into the
    metadata of each part that it writes, a line for each where several had a hand in it.
    """

    def __call__(self, *tables: pa.Table) -> pa.Table | tuple[pa.Table, list[Rejected]]: ...


@dataclass
class MapReport:
    """What a map did. ``seconds`` is time on the clock; ``skipped`` parts were done before."""

    rows: int = 0
    items: int = 0
    errors: int = 0
    parts: int = 0
    skipped: int = 0
    seconds: float = 0.0


def check_settings(train_workers: int, max_error_rate: float, item_timeout_s: float | None) -> None:
    """UserError where a setting that all executors have is out of range."""
    if train_workers < 1:
        raise UserError(f"train_workers must be 1 or more, not {train_workers}")
    if not 0 <= max_error_rate <= 1:
        raise UserError(f"max_error_rate must be a share from 0 to 1, not {max_error_rate}")
    if item_timeout_s is not None and not item_timeout_s > 0:
        raise UserError(f"item_timeout_s must be more than 0, not {item_timeout_s}")


class Executor(Protocol):
    """Runs mappers over parts and training loops over ranks."""

    def map(
        self,
        make: Callable[[], Mapper],
        parts: Sequence[Sequence[Path | pa.Table]],
        out: Path,
        *,
        schema: pa.Schema,
        by: str | None = None,
        whole: bool = False,
        resources: Resources = Resources(),
        suffix: str = ".parquet",
    ) -> MapReport:
        """Write ``out/part-i.parquet`` from ``parts[i]``, for every i whose part is not there yet.

        make       called once a worker; returns a Mapper. Must pickle: a module-level class or function, or a
                   ``functools.partial`` of one.
        parts      for each output part one path or small table an input, zipped where there are several
        schema     of the parts written
        by         rows with one value in this column, which every input has, are an item, also where some inputs
                   have no rows of it; None makes one call of the whole part, and of single rows where that raises:
                   further inputs are then small tables of one row, which says something of the part
        whole      the part is the item, all rows of all inputs: never cut, and an error row where it raises; with
                   ``by`` it is one call, and one of each of those items where that raises
        suffix     ``.arrow`` for parts that are memory-mapped later

        StageFailed as soon as more items than the executor's ``max_error_rate`` allows have failed. What is finished
        stays; the next map into ``out`` tries the items with errors again, unless its own limit allows them.
        """

    def fit(self, loop: Callable[[Any], None], config: Any, resources: Resources = Resources()) -> None:
        """Run ``loop(config)`` on every rank of a ``torch.distributed`` group (``RANK``, ``WORLD_SIZE``)."""
