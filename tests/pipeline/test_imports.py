"""Imports run one way: workflows -> stages -> models; pipeline imports none of them, models neither Ray nor it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALLOWED = {
    "workflows": {"workflows", "stages", "models", "pipeline"},
    "stages": {"stages", "models", "pipeline"},
    "models": {"models"},
    "pipeline": {"pipeline"},
}


def imports(path: Path) -> Iterator[str]:
    """The top-level packages that a file imports, wherever in it. Relative imports show as ''."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), path)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "" if node.level else (node.module or "").partition(".")[0]


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_only_what_is_below_them(package: str) -> None:
    forbidden = (set(ALLOWED) | {"tests", ""}) - ALLOWED[package]
    for path in sorted((ROOT / package).rglob("*.py")):
        assert not forbidden & set(imports(path)), f"{path.relative_to(ROOT)} imports {forbidden & set(imports(path))}"


def test_ray_is_imported_by_its_executor_alone() -> None:
    files = [p for package in ALLOWED for p in (ROOT / package).rglob("*.py") if "ray" in imports(p)]
    assert sorted(str(p.relative_to(ROOT)) for p in files) == ["pipeline/cluster.py", "pipeline/remote_lines.py"]


def test_pipeline_is_imported_without_what_is_slow() -> None:
    program = "import sys, pipeline; print([m for m in ('ray', 'torch', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_ray_executor_is_there_when_asked_for() -> None:
    from pipeline import RayExecutor

    assert RayExecutor.__module__ == "pipeline.cluster"
    with pytest.raises(ImportError, match="cannot import name 'DaskExecutor'"):
        from pipeline import DaskExecutor  # noqa: F401
