"""Runs a graph on this machine: in this process, or in worker processes."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.errors import UserError
from pipeline.executor import UNGUARDED, Executor, Mapper, MapReport, Resources, check_settings
from pipeline.parts import Part, map_part, parts_of, portable
from pipeline.process import SPAWN, cores, end_with_parent, how_it_died, set_threads
from pipeline.ranks import run_ranks
from pipeline.tally import Tally, run_map
from pipeline.workers import WorkerDied, WorkerPool


@dataclass
class LocalExecutor(Executor):
    """Runs mappers in this process (``workers = 0``) or in worker processes that live from stage to stage.

    In worker processes a decoder that crashes costs one video, not the run. Each has its share of the cores as its
    thread count and, for stages that ask for one, a GPU in turn. A script that uses them, or several training
    workers, needs the usual ``if __name__ == "__main__":``.
    """

    workers: int = 0
    """Worker processes for map stages; 0 runs them in this process."""
    train_workers: int = 1
    """Processes a training loop is spread over; each takes a GPU where there are any."""
    max_error_rate: float = 0.5
    """Share of a stage's items that may fail before the stage does."""
    item_timeout_s: float | None = None
    """Seconds without a finished item after which a worker process is taken for hung and replaced; None waits for
    ever. The first item's time includes loading the model; a stage that takes parts whole has parts for items."""
    _pool: tuple[list[str], WorkerPool] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise UserError(f"workers must be 0 or more, not {self.workers}")
        check_settings(self.train_workers, self.max_error_rate, self.item_timeout_s)

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
        all_parts = parts_of(parts, out, schema=schema, by=by, whole=whole, suffix=suffix)
        return run_map(all_parts, self.max_error_rate, partial(self._run_parts, make, resources))

    def _run_parts(self, make: Callable[[], Mapper], resources: Resources, to_do: list[Part], tally: Tally) -> None:
        if self.workers:
            self._workers_with(resources).run(pickle.dumps(make), to_do, tally)
            return
        mapper = make()
        for part in to_do:
            for event in map_part(mapper, part):
                tally.hear(event)
            tally.add(part)

    def fit(self, loop: Callable[[Any], None], config: Any, resources: Resources = Resources()) -> None:
        self.close()  # idle workers hold their last model, also in the memory of a GPU
        if self.train_workers == 1:
            loop(config)
        else:
            run_ranks(loop, config, self.train_workers)

    def close(self) -> None:
        """End the worker processes. They also end with this process, however it ends."""
        if self._pool is not None:
            self._pool[1].close()
            self._pool = None

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _workers_with(self, resources: Resources) -> WorkerPool:
        devices = _visible_devices() if resources.gpus else []
        if self._pool is None or self._pool[0] != devices:
            self.close()
            cpus = max(1, cores() // self.workers)

            def start(slot: int) -> LocalWorker:
                return LocalWorker(cpus, devices[slot % len(devices)] if devices else None, self.item_timeout_s)

            self._pool = devices, WorkerPool(start, self.workers)
        return self._pool[1]


class LocalWorker:
    """A process that runs parts; see ``pipeline.workers.Worker``."""

    def __init__(self, cpus: int, device: str | None, item_timeout_s: float | None) -> None:
        self._connection, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(target=_serve, args=(theirs, cpus, device), daemon=True)
        self._process.start()
        theirs.close()
        self._item_timeout_s = item_timeout_s
        self._is_ready = False
        self._made: bytes | None = None

    def ready(self, timeout_s: float) -> bool:
        if not self._is_ready and self._connection.poll(timeout_s):
            try:
                self._is_ready = self._connection.recv()
            except (EOFError, ConnectionResetError):
                raise RuntimeError(
                    f"a worker process could not start ({how_it_died(self._process)}); {UNGUARDED}"
                ) from None
        return self._is_ready

    def run(self, make: bytes, part: Part) -> Iterator[int | str]:
        try:
            self._connection.send((make if make != self._made else None, part))
            self._made = make
            while self._connection.poll(self._item_timeout_s):
                event = self._connection.recv()
                if event is None:
                    return
                if isinstance(event, Exception):
                    raise event
                yield event
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise WorkerDied(how_it_died(self._process)) from None
        raise WorkerDied(f"nothing finished for {self._item_timeout_s:g} s")

    def close(self) -> None:
        # Not the connection: another thread may be reading from it.
        self._process.kill()
        self._process.join()


def _serve(connection: Connection, cpus: int, device: str | None) -> None:
    """The worker process: parts in; what ``map_part`` yields, None at the end of a part, and exceptions out."""
    end_with_parent()
    set_threads(cpus)
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    mapper: Any = None
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the other end is gone
        connection.send(True)
        while True:
            made, part = connection.recv()
            try:
                if made is not None:
                    mapper = None  # the last stage's model goes before this one's comes
                    mapper = pickle.loads(made)()
                for event in map_part(mapper, part):
                    connection.send(event)
                connection.send(None)
            except Exception as error:
                connection.send(portable(error, "a worker"))


def _visible_devices() -> list[str]:
    """The GPUs this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",")[:count] if named else [str(i) for i in range(count)]
