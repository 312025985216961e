"""Runs of the real program, and what they leave."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

import pytest

from pipeline.store import MANIFEST

ROOT = Path(__file__).parents[1]
DEADLINE_S = 180


def files(store: Path) -> dict[str, bytes]:
    """What a store holds, without manifests and TensorBoard's events, which say how long it took, and locks."""
    skipped = {".locks", "tensorboard"}
    paths = (p for p in store.rglob("*") if p.is_file() and p.name != MANIFEST and not skipped & set(p.parts))
    return {str(p.relative_to(store)): p.read_bytes() for p in paths}


def free_ports(n: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def wait_for_cluster(address: str, environment: dict[str, str], process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the cluster runs a job: its dashboard answers before its job server does."""
    submit = ["ray", "job", "submit", "--address", address, "--", "true"]
    end = time.monotonic() + DEADLINE_S
    while process.poll() is None and time.monotonic() < end:
        if subprocess.run(submit, env=environment, capture_output=True).returncode == 0:
            return
        time.sleep(1)
    pytest.fail(f"no cluster came up:\n{log.read_text()}")
