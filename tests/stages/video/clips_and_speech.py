"""Tables of visual tokens and of sentences."""

from __future__ import annotations

import pyarrow as pa

CLIP_S = 1.5

Sentence = tuple[float, float, str | None]
"""Start, end, text."""


def clips(videos: dict[str, int]) -> pa.Table:
    """Clips of 1.5 s, numbered from 0; a clip's token is its number."""
    rows = [
        {"video_id": video, "clip": i, "start_s": i * CLIP_S, "end_s": (i + 1) * CLIP_S, "token": i}
        for video, n in videos.items()
        for i in range(n)
    ]
    types = {"video_id": pa.string(), "clip": pa.int32(), "start_s": pa.float64(), "end_s": pa.float64()}
    return pa.Table.from_pylist(rows, pa.schema({**types, "token": pa.uint16()}))


def spoken(videos: dict[str, list[Sentence]]) -> pa.Table:
    rows = [
        {"video_id": video, "sentence": i, "start_s": start, "end_s": end, "text": text}
        for video, sentences in videos.items()
        for i, (start, end, text) in enumerate(sentences)
    ]
    types = {"video_id": pa.string(), "sentence": pa.int32(), "start_s": pa.float64(), "end_s": pa.float64()}
    return pa.Table.from_pylist(rows, pa.schema({**types, "text": pa.string()}))
