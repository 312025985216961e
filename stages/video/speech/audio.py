"""The audio track of a video, streamed: a recording of three hours takes the memory of a minute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.voice_activity import SAMPLE_RATE
from stages.video.steady_clock import SteadyClock

if TYPE_CHECKING:
    import av

FloatArray = NDArray[np.float32]

HOLE_S = 0.1
"""A hole this long in the track's time stamps is filled with silence."""


def read_audio(path: str) -> Iterator[FloatArray]:
    """Mono blocks of any length at 16 kHz in [-1, 1]; sample 0 is at the time of the first picture.

    Rounded to 16 bits, as by Whisper's own loader. Packets that cannot be decoded become silence, and a file that
    breaks off gives what is before; where the time stamps jump, the track goes on as the pictures do. Yields nothing
    where there is no audio track; ValueError where nothing of it can be decoded, OSError where the file cannot be
    opened.
    """
    import av

    produced = 0
    broken: Exception | None = None
    try:
        with av.open(path) as container:
            track = container.streams.best("audio")
            if track is None:
                return
            resample = _Resampler()
            origin_s, end_s = _times(container)
            clock = SteadyClock(origin_s)
            early = 0
            for packet in container.demux(track):
                try:
                    frames: Sequence[Any] = packet.decode()
                except av.error.FFmpegError as error:  # damaged AAC has errors of every kind
                    broken = error
                    continue
                for frame in frames:
                    stamp_s = None if frame.time is None else min(frame.time, end_s)
                    ahead = round(clock(stamp_s, produced / SAMPLE_RATE) * SAMPLE_RATE) - produced
                    if produced == 0:
                        early = max(-ahead, 0)
                    if ahead >= HOLE_S * SAMPLE_RATE:
                        yield from _silence(ahead)
                        produced += ahead
                    for block in resample(frame):
                        dropped, early = min(early, len(block)), max(early - len(block), 0)
                        produced += len(block) - dropped
                        yield block[dropped:]
            for block in resample(None):
                produced += len(block)
                yield block
    except av.error.FileNotFoundError:
        raise
    except av.error.FFmpegError as error:
        broken = error
    if broken and not produced:
        raise ValueError(f"{path}: its audio track cannot be decoded ({broken}); mend it, or remove the track")


def cut(blocks: Iterable[FloatArray], spans: Sequence[tuple[int, int]]) -> Iterator[FloatArray]:
    """The samples of each span (first, behind last; ascending and disjoint), one span in memory at a time."""
    position = 0
    waiting = iter(spans)
    span = next(waiting, None)
    pieces: list[FloatArray] = []
    for block in blocks:
        behind = position + len(block)
        while span is not None and span[0] < behind:
            pieces.append(block[max(span[0] - position, 0) : span[1] - position])
            if span[1] > behind:
                break
            yield np.concatenate(pieces)
            pieces = []
            span = next(waiting, None)
        if span is None:
            return
        position = behind


def _times(container: av.container.InputContainer) -> tuple[float, float]:
    """When the first picture is shown (0 without pictures), and when the file ends, on the file's clock in s."""
    start_s = (container.start_time or 0) / 1e6
    end_s = start_s + container.duration / 1e6 if container.duration else float("inf")
    pictures = container.streams.best("video")
    if pictures is None or pictures.start_time is None or pictures.time_base is None:
        return 0.0, end_s
    return float(pictures.start_time * pictures.time_base), end_s


class _Resampler:
    """Frames to mono blocks at 16 kHz, by a resampler that is built anew where the frames change."""

    def __init__(self) -> None:
        self._key: object = None

    def __call__(self, frame: Any | None) -> Iterator[FloatArray]:
        """What there is to hear of ``frame`` and those before it; after None the resampler is empty."""
        import av

        key = frame and (frame.format.name, frame.layout.name, frame.sample_rate)
        if key != self._key:
            if self._key is not None:
                yield from self._resample(None)
            self._graph, self._key = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE), key
        if frame is not None:
            yield from self._resample(frame)

    def _resample(self, frame: Any | None) -> Iterator[FloatArray]:
        for resampled in self._graph.resample(frame):
            yield resampled.to_ndarray()[0].astype(np.float32) / 32768


def _silence(n_samples: int) -> Iterator[FloatArray]:
    while n_samples > 0:
        yield np.zeros(min(n_samples, SAMPLE_RATE), np.float32)
        n_samples -= SAMPLE_RATE
