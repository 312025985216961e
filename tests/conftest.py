"""Fixtures of all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import models  # noqa: F401 - transformers imports torchvision, which needs this first


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the outputs of new stages and of raised versions into tests/golden/outputs.json",
    )


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A Ray of two cores on this machine, for executors to attach to. They close after themselves: idle actors of
    one would keep the cores from the next."""
    import ray

    ray.init("local", num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
