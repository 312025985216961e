"""From a video file to clips: frames at even times, cropped and resized, a clip in memory at a time.

FFmpeg decodes and resizes (PyAV's wheel carries one). decord 0.6 was measured beside it on the same videos and left
out: it takes up to 1.4 times the CPU time, since it resizes what is then cropped away; while the network computes it
goes on decoding into memory without a bound (600 MB on an HD video at 0.3 s a clip); and two decoders, their FFmpegs
seven years apart, would make two recipes of one feature.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from stages.video.steady_clock import SteadyClock

if TYPE_CHECKING:
    import av

Frames = NDArray[np.uint8]

SCALING = "bilinear+accurate_rnd+full_chroma_int+bitexact"
"""A triangle filter as wide as the shrinking asks for (antialiased), with the same result on every CPU. Without full
chroma, colours come out 1.6 levels of 255 too dark."""
TOLERANCE_S = 1e-3
"""Containers round time stamps, some to milliseconds: a frame this little late still counts as on time."""


@dataclass(frozen=True)
class Sampling:
    """How a video becomes clips.

    Frame j of the video is the one shown at j / fps seconds after its first: the last that begins no later, by its time
    stamp, so a variable frame rate keeps its speed. Where the stamps jump (joined files; a hole of more than ten
    minutes, which nothing would fill but a still), the clock goes on: the frames before and after follow each other.
    Of each the centre square of ``crop`` pixels is taken, at the scale at which the picture's shorter side is
    ``short_side``, upright as the file says (display matrix). Clips of ``clip_frames`` follow each other without
    overlap; frames left over at the end, fewer than a clip, are dropped.
    """

    fps: float = 20.0
    clip_frames: int = 30
    short_side: int = 224
    crop: int = 224

    @property
    def clip_s(self) -> float:
        return self.clip_frames / self.fps


class BrokenVideo(ValueError):
    """The rest of the video cannot be decoded; says from which second on."""


def read_clips(path: str, sampling: Sampling, threads: int = 1) -> Iterator[Frames]:
    """Clips in order, shape = (clip_frames, crop, crop, 3), RGB.

    OSError where the file cannot be opened, ValueError where it has no pictures, BrokenVideo where it ends before its
    time or in the middle.
    """
    clip = np.empty((sampling.clip_frames, sampling.crop, sampling.crop, 3), np.uint8)
    n_frames = 0
    for frame in _frames_at_ticks(path, sampling, threads):
        clip[n_frames % sampling.clip_frames] = frame
        n_frames += 1
        if n_frames % sampling.clip_frames == 0:
            yield clip
            clip = np.empty_like(clip)
    if n_frames == 0:
        raise ValueError(f"{path}: has no pictures")


def video_stream(container: av.container.InputContainer) -> av.VideoStream:
    """The stream with the pictures; ValueError where there is none, or only a cover picture of a sound file."""
    from av.stream import Disposition

    stream = cast("av.VideoStream | None", container.streams.best("video"))
    if stream is None or stream.disposition & Disposition.attached_pic:
        raise ValueError(f"{container.name}: has no video stream{' (only sound)' if container.streams.audio else ''}")
    return stream


class ClipStream:
    """``read_clips`` in a thread of its own, at most ``depth`` clips ahead of whoever iterates."""

    def __init__(self, path: str, sampling: Sampling, threads: int, depth: int = 4) -> None:
        self._queue: queue.Queue[Frames | Exception | None] = queue.Queue(depth)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(path, sampling, threads), daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Frames]:
        """Once. Raises what ``read_clips`` raises, after the clips before it."""
        while True:
            item = self._queue.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                return
            yield item

    def close(self) -> None:
        """End the thread, also in the middle of a video."""
        self._closed.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.01)
            except queue.Empty:
                continue

    def _read(self, path: str, sampling: Sampling, threads: int) -> None:
        end: Exception | None = None
        try:
            for clip in read_clips(path, sampling, threads):
                self._queue.put(clip)
                if self._closed.is_set():
                    return
        except Exception as error:
            end = error
        self._queue.put(end)


def _frames_at_ticks(path: str, sampling: Sampling, threads: int) -> Iterator[Frames]:
    """The frame shown at each tick of the sampling clock, shape = (crop, crop, 3)."""
    resize = _Resizer(sampling)
    shown: tuple[av.VideoFrame, float] | None = None
    n_ticks = 0

    def until(end_s: float) -> Iterator[Frames]:
        """The frame that is shown now, once a tick before ``end_s``."""
        nonlocal n_ticks
        picture: Frames | None = None
        while shown is not None and n_ticks / sampling.fps < end_s - TOLERANCE_S:
            picture = resize(shown[0]) if picture is None else picture
            yield picture
            n_ticks += 1

    for frame, begin_s, end_s in _timed_frames(path, threads):
        yield from until(begin_s)
        shown = frame, end_s
    if shown is not None:
        yield from until(shown[1])


def _timed_frames(path: str, threads: int) -> Iterator[tuple[av.VideoFrame, float, float]]:
    """Every frame with when it begins and ends, in seconds after the first begins; both never go back."""
    import av

    end_s = 0.0
    clock = SteadyClock()
    with av.open(path) as container:
        stream = video_stream(container)
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        spacing_s = 1 / float(stream.average_rate or stream.guessed_rate or 25)
        try:
            for frame in container.decode(stream):
                begin_s = clock(frame.time, end_s)
                lasts_s = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else spacing_s
                end_s = max(end_s, begin_s + lasts_s)
                yield frame, begin_s, end_s
        except av.error.FFmpegError as error:
            raise BrokenVideo(f"{path}: broken at {end_s:.1f} s ({error.strerror})") from None
        if stream.duration and stream.time_base:
            declared_s, slack_s = float(stream.duration * stream.time_base), 1
        else:  # the file's duration is that of its longest track
            declared_s, slack_s = (container.duration or 0) / 1e6, 10
        if end_s + clock.jumped_s < declared_s - slack_s:
            raise BrokenVideo(f"{path}: ends at {end_s:.1f} s of {declared_s:.1f} s")


class _Resizer:
    """Frames to (crop, crop, 3) uint8, by a filter graph that is built anew where the frames change."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self._key: object = None

    def __call__(self, frame: av.VideoFrame) -> Frames:
        key = (frame.width, frame.height, frame.format.name)
        if key != self._key:
            self._graph, self._key = self._build(frame), key
        self._graph.vpush(frame)
        picture: Frames = self._graph.vpull().to_ndarray()
        quarter_turns = round(frame.rotation / 90) % 4
        return np.rot90(picture, quarter_turns) if quarter_turns else picture

    def _build(self, frame: av.VideoFrame) -> Any:
        import av

        # The centre square is cut out first, so that nothing is resized which is not kept.
        crop = self.sampling.crop
        side = round(min(frame.width, frame.height) * crop / self.sampling.short_side)
        graph = av.filter.Graph()
        graph.threads = 1
        chain = [
            graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base),
            graph.add("crop", f"{side}:{side}"),
            graph.add("scale", f"{crop}:{crop}:flags={SCALING}"),
            graph.add("format", "rgb24"),
            graph.add("buffersink"),
        ]
        graph.link_nodes(*chain).configure()
        return graph
