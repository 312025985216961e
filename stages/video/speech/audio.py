"""The audio track of a video, streamed: a recording of three hours takes the memory of a minute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.voice_activity import SAMPLE_RATE

if TYPE_CHECKING:
    import av

FloatArray = NDArray[np.float32]

HOLE_S = 0.1
"""A hole this long in the track's time stamps is filled with silence."""


def read_audio(path: str) -> Iterator[FloatArray]:
    """Mono blocks of any length at 16 kHz in [-1, 1]; sample 0 is at the time of the first picture.

    Rounded to 16 bits, as by Whisper's own loader. Packets that cannot be decoded become silence. Yields nothing where
    there is no audio track; ValueError where it cannot be decoded, OSError where the file cannot be opened.
    """
    import av

    produced = 0
    broken: Exception | None = None
    try:
        with av.open(path) as container:
            track = container.streams.best("audio")
            if track is None:
                return
            resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
            origin_s, end_s = _times(container)
            early = 0
            for packet in container.demux(track):
                try:
                    frames: Sequence[Any] = packet.decode()
                except av.error.InvalidDataError as error:
                    broken = error
                    continue
                for frame in frames:
                    if frame.time is not None:
                        ahead = round((min(frame.time, end_s) - origin_s) * SAMPLE_RATE) - produced
                        if produced == 0:
                            early = max(-ahead, 0)
                        if ahead >= HOLE_S * SAMPLE_RATE:
                            yield from _silence(ahead)
                            produced += ahead
                    for block in _resample(resampler, frame):
                        dropped, early = min(early, len(block)), max(early - len(block), 0)
                        produced += len(block) - dropped
                        yield block[dropped:]
            for block in _resample(resampler, None):
                produced += len(block)
                yield block
    except av.error.FileNotFoundError:
        raise
    except av.error.FFmpegError as error:
        broken = error
        produced = 0
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


def _resample(resampler: Any, frame: Any) -> Iterator[FloatArray]:
    for resampled in resampler.resample(frame):
        yield resampled.to_ndarray()[0].astype(np.float32) / 32768


def _silence(n_samples: int) -> Iterator[FloatArray]:
    while n_samples > 0:
        yield np.zeros(min(n_samples, SAMPLE_RATE), np.float32)
        n_samples -= SAMPLE_RATE
