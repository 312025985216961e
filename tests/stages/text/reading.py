"""A reader's run on files that a test writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline import Artifact, LocalExecutor, Stage
from pipeline.graph import make


def read(stage: Stage, folder: Path) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Its rows, and item and reason of its errors. All rows may be bad."""
    artifact = Artifact(folder / "rows", "rows")
    make(stage, {}, artifact, LocalExecutor(max_error_rate=1.0))
    errors = artifact.errors()
    rejected = [] if errors is None else [(e["item"], e["reason"]) for e in errors.to_pylist()]
    return artifact.read().to_pylist(), rejected
