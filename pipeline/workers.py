"""Keeps workers busy with the parts of a map, replaces those that die, and finds the item that kills them.

A worker is a process of this machine (``pipeline.local``) or a Ray actor (``pipeline.cluster``).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from pipeline.errors import StageFailed
from pipeline.parts import Part
from pipeline.tally import Tally


class WorkerDied(RuntimeError):
    """The worker is gone (a crashed decoder, the kernel's memory killer) or hangs; says how."""


class Worker(Protocol):
    """Runs parts one after another. It is on its way when the constructor returns."""

    def ready(self, timeout_s: float) -> bool:
        """Wait until it can take parts, for so long. Raises where it never will."""

    def run(self, make: Any, part: Part) -> Iterator[int | str]:
        """``map_part`` over there. Raises what was raised there other than for an item; WorkerDied when it is gone."""

    def close(self) -> None:
        """End it at once, whatever it is doing: what it finished is in its place."""


class WorkerPool:
    """Workers that live from map to map, one a slot, each fed by a thread.

    A part whose worker died is tried once more. When that one dies too, the part is run item by item, and every
    item during which a fresh worker dies becomes an error row.
    """

    def __init__(self, start: Callable[[int], Worker], size: int) -> None:
        """``start(slot)`` returns the worker for one of ``size`` slots without waiting for it."""
        self._start = start
        self._workers: list[Worker | None] = [None] * size
        self._lock = threading.Lock()

    def run(self, make: Any, parts: Sequence[Part], tally: Tally) -> None:
        """Write ``parts``. After a failure or Ctrl-C no worker is left."""
        if not parts:
            return
        self._make, self._tally = make, tally
        self._waiting: queue.SimpleQueue[Part] = queue.SimpleQueue()
        for part in parts:
            self._waiting.put(part)
        self._unfinished = len(parts)
        self._over = threading.Event()
        self._failure: BaseException | None = None
        slots = range(min(len(self._workers), len(parts)))
        threads = [threading.Thread(target=self._serve, args=(slot,), daemon=True) for slot in slots]
        for thread in threads:
            thread.start()
        try:
            self._over.wait()
            for thread in threads:
                thread.join()
        except BaseException as interrupt:
            self._fail(interrupt)
            raise
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        for slot in range(len(self._workers)):
            self._drop(slot)

    def _serve(self, slot: int) -> None:
        try:
            # A part is taken only by a worker that is there: on a busy cluster some may have to wait for long.
            while self._worker(slot) is not None:
                try:
                    part = self._waiting.get_nowait()
                except queue.Empty:
                    return
                self._finish(part, slot)
        except BaseException as failure:
            self._fail(failure)

    def _finish(self, part: Part, slot: int) -> None:
        deaths = 0
        while (worker := self._worker(slot)) is not None:
            steps = rows = 0
            try:
                for event in worker.run(self._make, part):
                    self._tally.hear(event)
                    if isinstance(event, int):
                        steps, rows = steps + 1, rows + event
            except WorkerDied as death:
                self._drop(slot)
                self._tally.hear(-rows)
                deaths += 1
                if part.careful:
                    if steps in dict(part.poisonous):
                        raise StageFailed(f"workers keep dying while {part.path} is written ({death})") from death
                    reason = f"the worker died while processing it ({death})"
                    part = replace(part, poisonous=(*part.poisonous, (steps, reason)))
                elif deaths == 2:
                    part = replace(part, careful=True)
            else:
                self._tally.add(part)
                with self._lock:
                    self._unfinished -= 1
                    if self._unfinished == 0:
                        self._over.set()
                return

    def _worker(self, slot: int) -> Worker | None:
        """The slot's worker, once it is ready; None when the run is over."""
        with self._lock:
            if self._over.is_set():
                return None
            worker = self._workers[slot] = self._workers[slot] or self._start(slot)
        while not worker.ready(timeout_s=0.2):
            if self._over.is_set():
                return None
        return worker

    def _drop(self, slot: int) -> None:
        with self._lock:
            worker, self._workers[slot] = self._workers[slot], None
        if worker is not None:
            worker.close()

    def _fail(self, failure: BaseException) -> None:
        with self._lock:
            if not self._over.is_set():
                self._failure = failure
            self._over.set()
        self.close()
