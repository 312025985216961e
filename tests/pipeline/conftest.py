"""Executors whose workers live as long as a module's tests, and a project of its own to run the command line in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import Executor, LocalExecutor

PACKAGES = ("stages", "workflows")
TREES = "apple pear plum quince rotten-fig"


def _forget_project() -> dict[str, object]:
    names = [n for n in sys.modules if n.partition(".")[0] in PACKAGES]
    return {name: sys.modules.pop(name) for name in names}


@pytest.fixture
def orchard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, with the stages and workflows of ``tests/pipeline/orchard`` and a file of five fruits."""
    for package in PACKAGES:
        (tmp_path / package).symlink_to(Path(__file__).parent / "orchard" / package)
    (tmp_path / "trees.txt").write_text(TREES.replace(" ", "\n"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("COLUMNS", "160")
    theirs = _forget_project()
    yield tmp_path
    _forget_project()
    sys.modules.update(theirs)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with LocalExecutor(workers=2) as executor:
        yield executor


@pytest.fixture(scope="module")
def ray(ray_cluster: None) -> Iterator[Executor]:
    from pipeline import RayExecutor

    with RayExecutor(workers=2) as executor:
        yield executor
