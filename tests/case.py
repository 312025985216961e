"""What a case of a stage is, and tables as finished artifacts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipeline import Artifact, Stage
from pipeline.store import MANIFEST, write_json, write_part

Inputs = Mapping[str, Artifact]


@dataclass(frozen=True)
class Case:
    """A stage on a tiny fixture."""

    name: str
    build: Callable[[Path], tuple[Stage, Inputs]]
    """Makes the inputs in an empty directory."""
    tolerance: float = 0.0
    """How far floats may be from the golden ones, relative to their root mean square; 0 means exactly equal. For
    stages whose floats depend on the machine's matrix products."""
    trains: bool = False
    """It trains a model, or asks one that was trained for it."""
    leave_out: tuple[str, ...] = ()
    """Columns and files (patterns) that the golden guard does not look at: paths into that directory, times."""


def artifact(folder: Path, table: pa.Table, parts: int = 2, suffix: str = ".parquet") -> Artifact:
    """``table`` as a finished artifact of so many parts."""
    for i in range(parts):
        start, end = (table.num_rows * k // parts for k in (i, i + 1))
        write_part(folder / f"part-{i:05d}{suffix}", table.slice(start, end - start))
    write_json(folder / MANIFEST, {"key": folder.name})
    return Artifact(folder, folder.name)
