"""What a process of the cluster prints, shown by the driver: Ray's own way of it shows every worker's every word."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ray.exceptions import RayError
from ray.util.queue import Queue

from pipeline.progress import say


class Lines(io.TextIOBase):
    """A stream whose every whole line goes to ``put``."""

    def __init__(self, put: Callable[[str], None]) -> None:
        self._put = put
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        with suppress(RayError):  # nobody is there any more to read them
            for line in lines:
                self._put(line)
        return len(text)


@contextmanager
def shown() -> Iterator[Queue]:
    """A queue, for any process of the cluster, whose lines appear on this one's standard error."""
    queue = Queue(actor_options={"num_cpus": 0})

    def show() -> None:
        with suppress(RayError):
            for line in iter(queue.get, None):
                say(line)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield queue
    finally:
        with suppress(RayError):
            queue.put(None)
        thread.join()
        queue.shutdown(force=True)
