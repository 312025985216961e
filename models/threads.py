"""Work on several threads that gives the same bits as on one.

A matrix product cut among threads may round otherwise. So the work is cut, the same way for any number of threads, and
each piece is done by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

Run: TypeAlias = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""``map``, or that of a pool: results in the order of the items."""


@dataclass(frozen=True)
class Threads:
    """A pool whose threads run single-threaded operators."""

    count: int
    map: Run


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch's operators run on one thread inside."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


@contextmanager
def thread_pool() -> Iterator[Threads]:
    """As many threads as torch has here; inside, the caller's operators are single-threaded too."""
    n_threads = torch.get_num_threads()
    with ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool, one_thread():
        yield Threads(n_threads, pool.map)
