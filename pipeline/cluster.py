"""Runs a graph on Ray: on the cluster that this process is a job of, on one started by hand, or on its own."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import ray
from ray.exceptions import RayError, RayTaskError

from pipeline.errors import StageFailed, UserError
from pipeline.executor import Executor, Mapper, MapReport, Resources, check_settings
from pipeline.parts import Part, map_part, parts_of, portable
from pipeline.process import cores, set_threads
from pipeline.tally import Tally, run_map
from pipeline.workers import WorkerDied, WorkerPool

PEER_S = 5.0
"""What a rank waits before it reports an error. It may have lost a peer, whose death Ray is to see first."""
DIED = "died"


@dataclass
class RayExecutor(Executor):
    """Runs mappers on a pool of Ray actors and training loops with Ray Train.

    Paths go to the actors as they are: artifacts lie on a file system that every node sees, at the same path. The
    driver asks for no core and no GPU.
    """

    workers: int | None = None
    """Actors for map stages; None for as many as the cluster's cores or GPUs hold."""
    train_workers: int = 1
    """Workers a training loop is spread over; each takes a GPU where there are any, and its share of the cores."""
    max_error_rate: float = 0.5
    """Share of a stage's items that may fail before the stage does."""
    item_timeout_s: float | None = None
    """See ``LocalExecutor.item_timeout_s``."""
    address: str | None = None
    """Of the cluster. None finds the one that this process is a job of (``RAY_ADDRESS``), or that was started on this
    machine, and else starts one here that ends with this process."""
    _pool: tuple[Resources, WorkerPool] | None = field(default=None, init=False, repr=False)
    _connected: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UserError(f"workers must be 1 or more on Ray, not {self.workers}")
        check_settings(self.train_workers, self.max_error_rate, self.item_timeout_s)
        _give_driver_its_cores()

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
        def run_parts(to_do: list[Part], tally: Tally) -> None:
            pool = self._workers_with(resources)
            # In a list Ray passes the reference on, and each actor fetches what it stands for once.
            pool.run([ray.put(make)], to_do, tally)

        all_parts = parts_of(parts, out, schema=schema, by=by, whole=whole, suffix=suffix)
        return run_map(all_parts, self.max_error_rate, run_parts)

    def fit(self, loop: Callable[[Any], None], config: Any, resources: Resources = Resources()) -> None:
        from ray.train import RunConfig, ScalingConfig, WorkerGroupError
        from ray.train.torch import TorchTrainer

        from pipeline.remote_lines import Lines, shown

        self._connect()
        self._close_pool()  # idle actors hold the cores and GPUs that the ranks need
        each = self._rank(resources)

        def run_rank() -> None:
            set_threads(each.cpus)
            try:
                with redirect_stderr(Lines(lines.put)) if os.environ["RANK"] == "0" else nullcontext():
                    loop(config)
            except Exception as error:
                if self.train_workers > 1:
                    time.sleep(PEER_S)
                raise portable(error, f"training worker {os.environ['RANK']}") from None

        scaling = ScalingConfig(
            num_workers=self.train_workers,
            use_gpu=each.gpus > 0,
            resources_per_worker={"CPU": each.cpus} | ({"GPU": each.gpus} if each.gpus else {}),
        )
        os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"  # the loop's relative paths mean what they mean elsewhere
        with tempfile.TemporaryDirectory() as storage, _own_interrupt(), shown() as lines:
            try:
                TorchTrainer(
                    run_rank, scaling_config=scaling, run_config=RunConfig(name="fit", storage_path=storage)
                ).fit()
            except WorkerGroupError as error:
                raised = [_raised_by(rank, failure) for rank, failure in sorted(error.worker_failures.items())]
                raise next((e for e in raised if DIED in str(e)), raised[0]) from None

    def close(self) -> None:
        """End the actors, and the cluster if it was started here."""
        self._close_pool()
        if self._connected:
            ray.shutdown()
            self._connected = False

    def __enter__(self) -> RayExecutor:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _connect(self) -> None:
        if ray.is_initialized():
            return
        address = self.address or os.environ.get("RAY_ADDRESS", "")
        host, _, port = address.rpartition(":")
        try:
            if host and port.isdigit():  # Ray itself would try for seven minutes, then exit
                socket.create_connection((host, int(port)), timeout=10).close()
            ray.init(self.address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, OSError) as error:
            raise UserError(
                f"no Ray cluster at {address or 'this machine'}: {error} "
                "(a cluster started by hand wants RAY_AUTH_MODE=token and its token from whoever joins)"
            ) from None
        self._connected = True

    def _workers_with(self, resources: Resources) -> WorkerPool:
        self._connect()
        nodes, each = _nodes(resources)
        if self._pool is None or self._pool[0] != each:
            self._close_pool()

            def start(slot: int) -> RayWorker:
                return RayWorker(each, self.item_timeout_s)

            self._pool = each, WorkerPool(start, self.workers or _places(nodes, each))
        return self._pool[1]

    def _rank(self, resources: Resources) -> Resources:
        """What a training worker gets; without GPUs, the most cores of which the nodes hold enough workers."""
        nodes, each = _nodes(resources)
        for cpus in [each.cpus] if each.gpus else range(int(max(n["CPU"] for n in nodes)), 0, -1):
            if _places(nodes, Resources(cpus, each.gpus)) >= self.train_workers:
                return Resources(cpus, each.gpus)
        raise UserError(f"the Ray cluster does not hold {self.train_workers} training workers with {resources}")

    def _close_pool(self) -> None:
        if self._pool is not None:
            self._pool[1].close()
            self._pool = None


class MapActor:
    """The worker process on a node of the cluster."""

    def __init__(self, cpus: int) -> None:
        set_threads(cpus)
        self._made: list[Any] | None = None
        self._mapper: Any = None

    def ready(self) -> bool:
        return True

    def run(self, make: list[Any], part: Part) -> Iterator[int | str | Exception]:
        try:
            if make != self._made:
                self._mapper = None  # the last stage's model goes before this one's comes
                self._made, self._mapper = make, ray.get(make[0])()
            yield from map_part(self._mapper, part)
        except Exception as error:
            yield portable(error, "a worker")


class RayWorker:
    """An actor that runs parts; see ``pipeline.workers.Worker``. Ray is told never to restart it or try again."""

    def __init__(self, resources: Resources, item_timeout_s: float | None) -> None:
        actor = ray.remote(MapActor).options(
            num_cpus=resources.cpus, num_gpus=resources.gpus, max_restarts=0, max_task_retries=0
        )
        self._actor = cast(Any, actor.remote(resources.cpus))
        self._item_timeout_s = item_timeout_s
        self._started = self._actor.ready.remote()

    def ready(self, timeout_s: float) -> bool:
        started, _ = ray.wait([self._started], timeout=timeout_s)
        return bool(started) and bool(ray.get(self._started))

    def run(self, make: list[Any], part: Part) -> Iterator[int | str]:
        try:
            # With backpressure an item is begun when the driver has heard of the one before: what a dying actor
            # has not yet sent is lost, and the death would be blamed on an item that was finished.
            ahead = 1 if part.careful else -1
            events = self._actor.run.options(num_returns="streaming", _generator_backpressure_num_objects=ahead).remote(
                make, part
            )
            while ray.wait([events], timeout=self._item_timeout_s)[0]:
                reference = next(events, None)
                if reference is None:
                    return
                event = ray.get(reference)
                if isinstance(event, Exception):
                    raise event
                yield event
        except RayTaskError:
            raise
        except RayError as error:
            raise WorkerDied(str(error).partition("\n")[0]) from None
        raise WorkerDied(f"nothing finished for {self._item_timeout_s:g} s")

    def close(self) -> None:
        ray.kill(self._actor)


def _raised_by(rank: int, failure: Exception) -> Exception:
    """What the loop raised; or that its worker is gone."""
    if type(failure) in (RuntimeError, StageFailed, UserError):  # what ``portable`` makes
        return failure
    died = RuntimeError(f"training worker {rank} {DIED}")
    died.add_note(str(failure))
    return died


def _give_driver_its_cores() -> None:
    """Undo the one thread that the driver of a job inherits. Ray limits the process that starts it, which holds no
    core; but what stages do in the driver they do while the actors wait. ``OMP_NUM_THREADS`` of the job's own stays."""
    job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "null"))
    chosen = (job["runtime_env"].get("env_vars") or {}) if job else os.environ
    if os.environ.get("OMP_NUM_THREADS") == "1" and "OMP_NUM_THREADS" not in chosen:
        set_threads(cores())


def _nodes(resources: Resources) -> tuple[list[dict[str, float]], Resources]:
    """What the nodes that can hold a worker have, and what it gets: no GPU where no node has as many as it asks, with
    one its share of the node's cores, and never more cores than a node has."""
    up = [n["Resources"] for n in ray.nodes() if n["Alive"]]  # type: ignore[no-untyped-call]
    nodes = [{"GPU": 0.0, **n} for n in up if n.get("CPU", 0) >= 1]
    if not nodes:
        raise UserError("the Ray cluster has no node with cores")
    with_gpus = [n for n in nodes if n["GPU"] >= resources.gpus] if resources.gpus else []
    share = min((int(n["CPU"] * resources.gpus / n["GPU"]) for n in with_gpus), default=1)
    nodes = with_gpus or nodes
    cpus = min(max(resources.cpus, share), int(max(n["CPU"] for n in nodes)))
    return nodes, Resources(cpus, resources.gpus if with_gpus else 0)


def _places(nodes: Sequence[Mapping[str, float]], each: Resources) -> int:
    """How many workers of that size the nodes hold."""
    return sum(int(min(n["CPU"] // each.cpus, n["GPU"] // each.gpus if each.gpus else n["CPU"])) for n in nodes)


@contextmanager
def _own_interrupt() -> Iterator[None]:
    """Keep Ctrl-C a KeyboardInterrupt: Ray Train's handler turns it into exit status 0, and stays after training."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, handler)
