"""Fixtures of all tests."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import models  # noqa: F401 - transformers imports torchvision, which needs this first
from pipeline.process import cores, set_threads
from tests.runs import free_ports, wait_for_cluster


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the outputs of new stages and of raised versions into tests/golden/outputs.json",
    )


def pytest_configure(config: pytest.Config) -> None:
    """A core for each of pytest-xdist's workers and what it starts: two torch programs on the same two cores, of two
    threads each, were measured ten times slower than with one each."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    if worker and hasattr(os, "sched_setaffinity"):
        mine = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {mine[int(worker) % len(mine)]})
    set_threads(cores())


@pytest.fixture(autouse=True)
def threads_stay() -> Iterator[None]:
    """What a test leaves behind would change the last bits of the next one's numbers."""
    before = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == before


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A Ray of two cores on this machine, for executors to attach to. They close after themselves: idle actors of
    one would keep the cores from the next."""
    import ray

    ray.init("local", num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def ray_head() -> Iterator[tuple[str, dict[str, str]]]:
    """A cluster started by hand, with dashboard and job server: its address, and the environment of its clients."""
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder:  # a socket's path must be short
        environment = {
            **{name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": uuid.uuid4().hex,
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        named = ("dashboard-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port", "ray-client-server-port")
        ports = dict(zip(named, free_ports(len(named)), strict=True))  # the usual ones may be another cluster's
        options = [f"--temp-dir={folder}", "--port=0", *(f"--{name}={port}" for name, port in ports.items())]
        with Path(folder, "head.log").open("w") as log:
            process = subprocess.Popen(
                ["ray", "start", "--head", "--block", "--num-cpus=2", *options],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        address = f"http://127.0.0.1:{ports['dashboard-port']}"
        try:
            wait_for_cluster(address, environment, process, Path(folder, "head.log"))
            yield address, environment
        finally:
            process.terminate()
            process.wait()
