"""ReadVideos: which videos there are, and whether they can be read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from pipeline.errors import UserError
from pipeline.executor import Executor
from pipeline.stage import Stage
from pipeline.store import Artifact, digest, listing_digest
from stages.video.video_list import Entry, list_videos, part_size

VIDEOS = pa.schema(
    [
        ("video_id", pa.string()),
        ("path", pa.string()),
        ("duration_s", pa.float64()),
        ("fps", pa.float64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("rotation", pa.int32()),
        ("has_audio", pa.bool_()),
        ("captions", pa.string()),
    ]
)
_ENTRY = pa.schema([("video_id", pa.string()), ("path", pa.string()), ("captions", pa.string()), ("at", pa.string())])


@dataclass(frozen=True, kw_only=True)
class ReadVideos(Stage):
    """List videos, with what their files say of them.

    In   folder: optional, an artifact in whose directory ``videos`` is (a stage that renders videos wrote them there)
    Out  video_id str, path str (absolute), duration_s float64, fps float64 (the mean), width and height int32 (pixels,
         as stored), rotation int32 (degrees, counterclockwise, by which players turn the stored picture: 0, 90, 180,
         270), has_audio bool, captions str or null (path of the caption file)

    A video's id is its path below the folder (of a list: below the folder that all have in common) without the
    extension, which stays where the rest is that of another file, or its name. Its captions are a file beside it of the
    same name, perhaps with a language between: a.mp4 has a.vtt, a.en.srt or a.json3. Links to folders are followed,
    hidden files left out. Files without pictures that can be read are rejected.
    """

    videos: str
    """A folder (with all below it), a pattern ("clips/**/*.mp4"), one video, a list (.txt, a path a line) or a table
    (.csv or .parquet with a column path, perhaps also video_id and captions); paths in a list or table are relative to
    its folder"""
    videos_per_part: int | None = None
    """Videos in one part, the unit that is resumed and spread over workers; later stages keep the parts. By default
    one 64th of them, from 1 to 64."""

    version: ClassVar[str] = "2"
    paths: ClassVar[frozenset[str]] = frozenset({"videos"})
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"folder": ()}
    optional: ClassVar[frozenset[str]] = frozenset({"folder"})
    writes: ClassVar[pa.Schema | None] = VIDEOS

    def __post_init__(self) -> None:
        if self.videos_per_part is not None and self.videos_per_part < 1:
            raise UserError(f"videos_per_part must be at least 1, not {self.videos_per_part}")

    def key(self, input_keys: Mapping[str, str]) -> str:
        # An artifact's key names its files already, which need not exist yet.
        files = {} if "folder" in input_keys else {"files": self._files()}
        return super().key({**input_keys, **files})

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        folder = inputs["folder"].path if "folder" in inputs else Path()
        entries = list_videos(folder / self.videos)
        rows = [{"video_id": e.video_id, "path": str(e.path), "captions": e.captions, "at": e.at} for e in entries]
        table = pa.Table.from_pylist(rows, _ENTRY)
        size = self.videos_per_part or part_size(len(rows))
        parts = [[table.slice(i, size)] for i in range(0, len(rows), size)]
        executor.map(VideoProbe, parts, out, schema=VIDEOS, by="video_id")

    def _files(self) -> str:
        entries = list_videos(Path(self.videos))
        named = (f for e in entries for f in (e.path, e.captions) if f is not None)
        files = [f for f in named if os.path.isfile(f)]  # noqa: PTH113 - Path raises where a name is too long
        return digest([listing_digest(files), [[e.video_id, str(e.path), e.captions] for e in entries]])


class VideoProbe:
    """Opens a video and decodes its first picture."""

    def __call__(self, entries: pa.Table) -> pa.Table:
        row = entries.to_pylist()[0]
        entry = Entry(row["video_id"], Path(row["path"]), row["captions"], row["at"])
        found = {"video_id": entry.video_id, "path": str(entry.path), "captions": entry.captions, **self._probe(entry)}
        return pa.Table.from_pylist([found], VIDEOS)

    def _probe(self, entry: Entry) -> dict[str, Any]:
        """The columns that come from the file. ValueError says what is wrong with it and where it was listed."""
        import av

        from stages.video.decode import video_stream

        at = f"{entry.at}: " if entry.at else ""
        if entry.captions is not None and not Path(entry.captions).is_file():
            raise ValueError(f"{at}{entry.captions}: no such file")
        if not entry.path.is_file():
            raise ValueError(f"{at}{entry.path}: no such file")
        if entry.path.stat().st_size == 0:
            raise ValueError(f"{at}{entry.path}: empty file")
        try:
            with av.open(str(entry.path)) as container:
                stream = video_stream(container)
                frame = next(container.decode(stream), None)
                if frame is None:
                    raise ValueError(f"{entry.path}: has no pictures")
                found = {
                    "fps": float(stream.average_rate or stream.guessed_rate or 0),
                    "width": frame.width,
                    "height": frame.height,
                    "rotation": round(frame.rotation / 90) * 90 % 360,
                    "has_audio": bool(container.streams.audio),
                    "duration_s": _duration_s(container, stream),
                }
        except av.error.FFmpegError as error:
            raise ValueError(f"{at}{entry.path}: cannot be read as a video ({error.strerror})") from None
        except ValueError as error:
            raise ValueError(f"{at}{error}") from None
        if found["duration_s"] <= 0:
            raise ValueError(f"{at}{entry.path}: is 0 s long")
        return found


def _duration_s(container: Any, stream: Any) -> float:
    """How long the pictures last by the file's header, or, where it does not say, by their number."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    if container.duration:
        return float(container.duration / 1e6)
    import av

    with av.open(container.name) as again:  # a stream without a header cannot be wound back
        n_pictures = sum(packet.size > 0 for packet in again.demux(again.streams[stream.index]))
    return float(n_pictures / (stream.average_rate or stream.guessed_rate))
