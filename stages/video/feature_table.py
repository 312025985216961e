"""Features as rows: what EmbedClips writes, and ReadFeatures in its place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

LARGEST = float(np.finfo(np.float16).max)


def feature_schema(width: int) -> pa.Schema:
    """Rows of one clip each; ``thumbnail`` is a JPEG of its middle frame."""
    return pa.schema(
        [
            ("video_id", pa.string()),
            ("clip", pa.int32()),
            ("start_s", pa.float64()),
            ("end_s", pa.float64()),
            ("feature", pa.list_(pa.float16(), width)),
            ("thumbnail", pa.binary()),
        ]
    )


def feature_table(
    video_id: str, features: NDArray[np.floating], clip_s: float, thumbnails: Sequence[bytes | None] | None = None
) -> pa.Table:
    """Clips that follow each other from the start of a video; features, shape = (clips, width).

    ValueError for what float16 cannot hold: no number, or above 65504.
    """
    n_clips, width = features.shape
    bad = np.flatnonzero(~(np.abs(features) <= LARGEST).all(axis=1))
    if len(bad):
        raise ValueError(f"clip {bad[0]} has a feature that is no number or above {LARGEST:g}, float16's largest")
    clips = np.arange(n_clips, dtype=np.int32)
    flat = pa.array(features.astype(np.float16).reshape(-1))
    columns = {
        "video_id": pa.array([video_id] * n_clips, pa.string()),
        "clip": clips,
        "start_s": clips * clip_s,
        "end_s": (clips + 1) * clip_s,
        "feature": pa.FixedSizeListArray.from_arrays(flat, width),
        "thumbnail": pa.array(thumbnails or [None] * n_clips, pa.binary()),
    }
    return pa.table(columns, feature_schema(width))
