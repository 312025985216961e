"""Features without videos, and a program that fits a codebook to them: ``python -m tests.stages.video.some_features
FEATURES OUT [WORKERS]``."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline import Artifact, LocalExecutor
from pipeline.graph import make
from pipeline.store import MANIFEST, write_json, write_part
from stages.video.feature_table import feature_table
from stages.video.fit_codebook import FitCodebook

CLIP_S = 1.5
CLIPS = 50
"""Of a video."""
FIT = FitCodebook(branching=4, depth=4, min_points=8)


def features(folder: Path, vectors: np.ndarray, parts: int = 3, colours: np.ndarray | None = None) -> Artifact:
    """An artifact of the clips of videos v0, v1, …; ``colours`` [n, 3]: what the thumbnails show."""
    tables = []
    for i, start in enumerate(range(0, len(vectors), CLIPS)):
        here = slice(start, start + CLIPS)
        thumbnails = None if colours is None else [_jpeg(tuple(colour)) for colour in colours[here].tolist()]
        tables.append(feature_table(f"v{i}", vectors[here], CLIP_S, thumbnails))
    return as_artifact(folder, tables, parts)


def as_artifact(folder: Path, tables: list[pa.Table], parts: int, suffix: str = ".parquet") -> Artifact:
    for part in range(parts):
        write_part(folder / f"part-{part:05d}{suffix}", pa.concat_tables(tables[part::parts]))
    write_json(folder / MANIFEST, {"key": folder.name})
    return Artifact(folder, folder.name)


def fit(given: Artifact, out: Path, stage: FitCodebook = FIT, workers: int = 0, **more: Artifact) -> Artifact:
    codebook = Artifact(out, out.name)
    with LocalExecutor(workers=workers) as executor:
        make(stage, {"features": given, **more}, codebook, executor)
    return codebook


def _jpeg(colour: tuple[int, ...]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(file, "JPEG")
    return file.getvalue()


if __name__ == "__main__":
    fit(Artifact.open(sys.argv[1]), Path(sys.argv[2]), workers=int(sys.argv[3]) if len(sys.argv) > 3 else 0)
