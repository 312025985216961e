"""ReadFeatures: features that were extracted elsewhere."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.s3d import FEATURE_WIDTH
from pipeline.errors import UserError
from pipeline.executor import Executor
from pipeline.stage import Stage
from pipeline.store import Artifact, listing_digest
from stages.video.feature_table import feature_schema, feature_table
from stages.video.video_list import files_below, ids_below, part_size

SUFFIXES = (".npy", ".npz")
ARRAY = "features"
"""The array's name in a .npz that holds several."""
_FILE = pa.schema([("video_id", pa.string()), ("path", pa.string())])


@dataclass(frozen=True, kw_only=True)
class ReadFeatures(Stage):
    """Take features from files, one .npy or .npz a video, in place of EmbedClips.

    Out  video_id str (the file's path below the folder without the extension, as by ReadVideos), clip int32 (from 0),
         start_s and end_s float64, feature float16[width], thumbnail null

    A file holds an array of floats, clips x width (a .npz either that alone or under the name "features"), whose row i
    is of the seconds from i / features_per_s to (i + 1) / features_per_s.
    """

    features: str
    """Folder of the .npy and .npz files, with all below it"""
    features_per_s: float
    """Rows a second: 1.5 for HowTo100M's published ResNeXt-101 features (width 2048), 0.667 for clips of 1.5 s"""
    width: int = FEATURE_WIDTH
    """Numbers in a row"""
    videos_per_part: int | None = None
    """Videos in one part, the unit that is resumed and spread over workers; later stages keep the parts. By default
    one 64th of them, from 1 to 64."""

    version: ClassVar[str] = "2"
    paths: ClassVar[frozenset[str]] = frozenset({"features"})
    writes: ClassVar[pa.Schema | None] = feature_schema(FEATURE_WIDTH)

    def __post_init__(self) -> None:
        if self.features_per_s <= 0:
            raise UserError(f"features_per_s must be above 0, not {self.features_per_s:g}")
        if self.width < 1:
            raise UserError(f"width must be at least 1, not {self.width}")
        if self.videos_per_part is not None and self.videos_per_part < 1:
            raise UserError(f"videos_per_part must be at least 1, not {self.videos_per_part}")

    def fingerprint(self) -> str:
        return listing_digest(self._files())

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        files = self._files()
        ids = ids_below(Path(self.features).absolute(), files)
        table = pa.table({"video_id": ids, "path": [str(p) for p in files]}, _FILE)
        size = self.videos_per_part or part_size(len(files))
        parts = [[table.slice(i, size)] for i in range(0, len(files), size)]
        make = partial(FeatureReader, self.width, self.features_per_s)
        executor.map(make, parts, out, schema=feature_schema(self.width), by="video_id")

    def _files(self) -> list[Path]:
        folder = Path(self.features).absolute()
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder")
        files = [p for p in files_below(folder) if p.suffix in SUFFIXES]
        if not files:
            raise UserError(f"{folder}: has no {' or '.join(SUFFIXES)} files")
        return files


class FeatureReader:
    def __init__(self, width: int, features_per_s: float) -> None:
        self.width, self.clip_s = width, 1 / features_per_s

    def __call__(self, files: pa.Table) -> pa.Table:
        path = files["path"][0].as_py()
        features = _array(path)
        shape = " x ".join(map(str, features.shape)) or "a single number"
        if features.ndim != 2 or features.shape[1] != self.width:
            raise ValueError(f"{path}: its shape is {shape}, not clips x {self.width}")
        if not np.issubdtype(features.dtype, np.floating):
            raise ValueError(f"{path}: holds {features.dtype} ({shape}), not floats")
        if len(features) == 0:
            raise ValueError(f"{path}: has no rows ({shape})")
        try:
            return feature_table(files["video_id"][0].as_py(), features, self.clip_s)
        except ValueError as error:
            raise ValueError(f"{path} ({shape}): {error}") from None


def _array(path: str) -> NDArray[Any]:
    """The file's array; a .npy is mapped, not read."""
    try:
        if path.endswith(".npy"):
            mapped: NDArray[Any] = np.load(path, mmap_mode="r")
            return mapped
        with np.load(path) as arrays:
            names = arrays.files
            if len(names) != 1 and ARRAY not in names:
                raise ValueError(f"holds {', '.join(names) or 'no arrays'}, and none is called {ARRAY}")
            found: NDArray[Any] = arrays[names[0] if len(names) == 1 else ARRAY]
            return found
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: cannot be read ({' '.join(str(error).split()) or type(error).__name__})") from None
