"""What a worker process sets before it works: its threads, and that it ends with its parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.process import BaseProcess

import pyarrow as pa
from threadpoolctl import threadpool_limits

SPAWN = multiprocessing.get_context("spawn")
"""A fork would copy held locks, CUDA contexts and open stores."""


def cores() -> int:
    """The cores this process may use: a scheduler may have given it fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_threads(cpus: int) -> None:
    """Give this process ``cpus`` threads, in the libraries that are loaded and in those that will be.

    Two torch processes with two threads each on two cores were measured ten times slower than with one each.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        os.environ[name] = str(cpus)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    threadpool_limits(cpus)
    pa.set_cpu_count(cpus)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(cpus)


def end_with_parent() -> None:
    """End this process as soon as its parent is gone, even in the middle of an item; Ctrl-C is the parent's to handle.

    An orphan that went on would write checkpoints beside those of the next run.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def how_it_died(process: BaseProcess) -> str:
    """Signal or exit status of a process that is ending."""
    process.join(timeout=5)
    code = process.exitcode
    if code is None:
        return "no exit status"
    return f"signal {-code}" if code < 0 else f"exit status {code}"
