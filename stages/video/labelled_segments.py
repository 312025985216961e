"""Labelled stretches of video with what was seen in them: visual words and the mean feature."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from pipeline import Artifact
from pipeline.store import read_part
from stages.video.codebook.vectors import as_matrix
from stages.video.split_videos import split_by_video


@dataclass
class LabelledSegment:
    """One row of ReadSegments. ``tokens`` are the visual words of its clips, ``feature`` their mean [width]; None where
    its video has no clips."""

    video_id: str
    start_s: float
    end_s: float
    verb: str
    object: str
    split: str
    tokens: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint16))
    feature: np.ndarray | None = None

    @property
    def pair(self) -> tuple[str, str]:
        return self.verb, self.object


def labelled_segments(
    labels: Artifact, splits: Artifact, tokens: Artifact, features: Artifact
) -> list[LabelledSegment]:
    """The labelled segments of the videos there are, with the clips in them (by their midpoints, or else the nearest).

    Reads features part by part, those that hold a labelled video, and keeps one mean a segment.
    """
    split_of = split_by_video(splits)
    by_video: dict[str, list[LabelledSegment]] = {}
    for row in labels.read().to_pylist():
        if row["video_id"] in split_of:
            segment = LabelledSegment(**row, split=split_of[row["video_id"]])
            by_video.setdefault(segment.video_id, []).append(segment)
    for token_part, feature_part in zip(tokens.parts, features.parts, strict=True):
        table = read_part(token_part, ["video_id", "clip", "start_s", "end_s", "token"])
        video_ids = np.asarray(table["video_id"])
        labelled = by_video.keys() & set(video_ids.tolist())
        if not labelled:
            continue
        feature = features_of(table, read_part(feature_part, ["video_id", "clip", "feature"]))
        middle = (np.asarray(table["start_s"]) + np.asarray(table["end_s"])) / 2
        token = np.asarray(table["token"])
        for video_id in labelled:
            rows = np.flatnonzero(video_ids == video_id)
            for segment in by_video[video_id]:
                inside = rows[(middle[rows] >= segment.start_s) & (middle[rows] < segment.end_s)]
                if not len(inside):
                    inside = rows[[np.argmin(np.abs(middle[rows] - (segment.start_s + segment.end_s) / 2))]]
                segment.tokens = token[inside]
                segment.feature = feature[inside].astype(np.float32).mean(0)
    return [s for found in by_video.values() for s in found]


def features_of(tokens: pa.Table, features: pa.Table) -> np.ndarray:
    """The features [rows, width] of the clips that have a token: clips whose feature is not finite have none."""
    matrix, _ = as_matrix(features["feature"].combine_chunks())
    if tokens.num_rows == features.num_rows:
        return matrix
    clips = zip(features["video_id"].to_pylist(), features["clip"].to_pylist(), strict=True)
    row_of = {clip: row for row, clip in enumerate(clips)}
    wanted = zip(tokens["video_id"].to_pylist(), tokens["clip"].to_pylist(), strict=True)
    return matrix[[row_of[clip] for clip in wanted]]
