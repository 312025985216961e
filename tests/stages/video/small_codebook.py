"""A codebook of nine leaves, two of them dead."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.codebook import FILE, Codebook
from pipeline import Artifact
from pipeline.store import MANIFEST, write_json


def small_codebook(folder: Path, width: int) -> Artifact:
    """Three times three leaves; the last node was too small to split, so 2.1 and 2.2 are dead copies of 2.0."""
    draw = np.random.default_rng(0)
    leaves = (4 + 0.1 * draw.normal(size=(9, width))).astype(np.float32)
    leaves[7:] = leaves[6]
    counts = np.array([5, 4, 9, 3, 3, 3, 2, 0, 0])
    nodes = leaves.reshape(3, 3, width).mean(1)
    folder.mkdir(parents=True)
    Codebook((nodes, leaves), (counts.reshape(3, 3).sum(1), counts), (0.3, 0.1)).save(folder / FILE)
    write_json(folder / MANIFEST, {"key": folder.name})
    return Artifact(folder, folder.name)
