"""Fixtures of all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline import Executor


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the outputs of new stages and of raised versions into tests/golden/outputs.json",
    )


@pytest.fixture(scope="session")
def ray_executor() -> Iterator[Executor]:
    """Two actors on a Ray of this machine, started by the first test that needs it."""
    from pipeline import RayExecutor

    with RayExecutor(workers=2) as executor:
        yield executor
