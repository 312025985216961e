"""A training loop on several processes of this machine, one a rank of a ``torch.distributed`` group."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

from pipeline.parts import portable
from pipeline.process import SPAWN, cores, end_with_parent, how_it_died, set_threads


def run_ranks(loop: Callable[[Any], None], config: Any, world_size: int) -> None:
    """Run ``loop(config)`` on every rank. Raises what the first rank to fail raised, and ends the others."""
    port = _free_port()
    ranks = [_Rank(loop, config, i, world_size, port) for i in range(world_size)]
    running = list(ranks)
    try:
        while running:
            wait([rank.connection for rank in running])
            # The dead first: what the others report may be that they lost their peer.
            for rank in sorted(running, key=_Rank.is_alive):
                if rank.finished():
                    running.remove(rank)
    finally:
        for rank in ranks:
            rank.close()


class _Rank:
    def __init__(self, loop: Callable[[Any], None], config: Any, rank: int, world_size: int, port: int) -> None:
        self.connection, theirs = SPAWN.Pipe()
        self._name = f"training worker {rank}"
        self._process = SPAWN.Process(target=_run, args=(theirs, loop, config, rank, world_size, port), daemon=True)
        self._process.start()
        theirs.close()

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def finished(self) -> bool:
        """Whether the loop has returned. Raises what it raised."""
        if not self.connection.poll():
            return False
        try:
            failure: Exception | None = self.connection.recv()
        except (EOFError, ConnectionResetError):
            failure = RuntimeError(f"{self._name} died ({how_it_died(self._process)})")
        if failure is not None:
            raise failure
        return True

    def close(self) -> None:
        self._process.kill()
        self._process.join()


def _run(
    connection: Connection, loop: Callable[[Any], None], config: Any, rank: int, world_size: int, port: int
) -> None:
    end_with_parent()
    set_threads(max(1, cores() // world_size))
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(world_size),
        LOCAL_WORLD_SIZE=str(world_size),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    try:
        loop(config)
        connection.send(None)
    except Exception as error:
        connection.send(portable(error, f"training worker {rank}"))
        threading.Event().wait()  # until ended, so that no other rank finds its peer gone and reports that instead


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
