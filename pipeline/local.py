"""Runs a graph on this machine: in this process, or in worker processes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.executor import (
    Executor,
    Mapper,
    MapReport,
    Part,
    PartQueue,
    PartReport,
    Resources,
    Worker,
    WorkerDied,
    count_rows,
    map_part,
    run_map,
)
from pipeline.progress import counting

_SPAWN = multiprocessing.get_context("spawn")


@dataclass
class LocalExecutor(Executor):
    """Runs mappers in this process (``workers = 0``) or in worker processes that live from stage to stage.

    In worker processes a decoder that crashes costs one video, not the run. Each has its share of the cores as its
    thread count and, for stages that ask for one, a GPU in turn.
    """

    workers: int = 0
    """Worker processes for map stages; 0 runs them in this process."""
    train_workers: int = 1
    """Processes a training loop is spread over; each takes a GPU where there are any."""
    max_error_rate: float = 0.5
    """Share of a stage's items that may fail before the stage does."""
    _idle: dict[float, list[Worker]] = field(default_factory=dict, repr=False)

    def map(
        self,
        make: Callable[[], Mapper],
        parts: Sequence[Sequence[Path | pa.Table]],
        out: Path,
        *,
        schema: pa.Schema,
        by: str | None = None,
        resources: Resources = Resources(),
        suffix: str = ".parquet",
    ) -> MapReport:
        def run_parts(to_do: list[Part]) -> dict[int, PartReport]:
            with counting(out.name, count_rows(to_do), "rows") as counter:
                if self.workers == 0:
                    mapper = make()
                    for part in to_do:
                        for event in map_part(mapper, part):
                            counter.advance(0 if isinstance(event, PartReport) else event)
                    return {}
                idle = self._idle.setdefault(resources.gpus, [])
                start = partial(LocalWorker, self.cpus_each, resources.gpus)
                return PartQueue(make, start, counter.advance, idle).run(to_do, self.workers)

        return run_map(parts, out, schema, by, suffix, self.max_error_rate, run_parts)

    @property
    def cpus_each(self) -> int:
        return max(1, (os.cpu_count() or 1) // max(self.workers, 1))

    def fit(self, loop: Callable[[Any], None], config: Any, resources: Resources = Resources()) -> None:
        if self.train_workers == 1:
            loop(config)
            return
        port = free_port()
        ranks = [
            _SPAWN.Process(target=_rank, args=(loop, config, rank, self.train_workers, port), daemon=True)
            for rank in range(self.train_workers)
        ]
        for rank in ranks:
            rank.start()
        try:
            while any(r.is_alive() for r in ranks):
                for rank in ranks:
                    rank.join(timeout=0.2)
                failed = [i for i, r in enumerate(ranks) if r.exitcode not in (0, None)]
                if failed:
                    raise RuntimeError(
                        f"training worker {failed[0]} ended with exit status {ranks[failed[0]].exitcode}"
                    )
        finally:
            for rank in ranks:
                rank.kill()
                rank.join()

    def close(self) -> None:
        """End the worker processes. They also end with this process, however it ends."""
        for workers in self._idle.values():
            while workers:
                workers.pop().close()

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class LocalWorker:
    """A process that runs parts; ``run`` raises WorkerDied when it is gone."""

    def __init__(self, cpus: int, gpus: float) -> None:
        self._connection, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(theirs, cpus, gpus, _next_device()), daemon=True)
        self._process.start()
        theirs.close()
        self._made: bytes | None = None

    def run(self, make: Callable[[], Mapper], part: Part) -> Iterator[int | PartReport]:
        made = pickle.dumps(make)
        try:
            self._connection.send((made if made != self._made else None, part))
            self._made = made
            while True:
                event = self._connection.recv()
                if isinstance(event, BaseException):
                    raise event
                yield event
                if isinstance(event, PartReport):
                    return
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self._process.join(timeout=5)
            raise WorkerDied(_how_it_died(self._process.exitcode)) from None

    def close(self) -> None:
        self._connection.close()
        self._process.join(timeout=1)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _serve(connection: Connection, cpus: int, gpus: float, device: int) -> None:
    """The worker process: parts in, progress and reports out, until the other end closes."""
    set_threads(cpus)
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(device)
    mapper: Mapper | None = None
    while True:
        try:
            made, part = connection.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            if made is not None:
                mapper = pickle.loads(made)()
            assert mapper is not None
            for event in map_part(mapper, part):
                connection.send(event)
        except BrokenPipeError:
            return
        except KeyboardInterrupt:
            return
        except BaseException as error:
            connection.send(RuntimeError(f"{type(error).__name__}: {error}"))


def set_threads(cpus: int) -> None:
    """Give this process ``cpus`` threads, in what is loaded and in what will be.

    Two torch processes with two threads each on two cores were measured ten times slower than with one each.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        os.environ[name] = str(cpus)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    pa.set_cpu_count(cpus)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(cpus)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _rank(loop: Callable[[Any], None], config: Any, rank: int, world_size: int, port: int) -> None:
    set_threads(max(1, (os.cpu_count() or 1) // world_size))
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(world_size),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    loop(config)


_devices = iter(range(sys.maxsize))


def _next_device() -> int:
    """The GPUs in turn. Asks the driver without opening a context in this process."""
    count = len(list(Path("/proc/driver/nvidia/gpus").glob("*"))) or 1
    return next(_devices) % count


def _how_it_died(exitcode: int | None) -> str:
    if exitcode is None:
        return "no exit status"
    return f"signal {-exitcode}" if exitcode < 0 else f"exit status {exitcode}"
