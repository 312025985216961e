"""Where in a recording somebody speaks, and how speech is packed into the windows that Whisper hears.

Whisper invents words in silence and music, so it is given speech only: WhisperX (Bain et al., arXiv 2303.00747,
section 2) cuts and merges in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
FRAME = 512
"""Samples that are judged at once: 32 ms."""
MAX_SPAN_S = 30.0
"""The window of Whisper's encoder."""
PAD_MS = 200
"""Kept on both sides of speech, as far as there is a pause: quiet first and last sounds."""
MIN_PAUSE_MS = 300
MIN_SPEECH_MS = 200
QUIETEST_DB = -50.0
RANGE_DB = 30.0

Span = tuple[int, int]
"""First sample and the one behind the last."""


class SileroActivity:
    """Probability of speech for each frame, from the network in the ``silero-vad`` wheel."""

    def __init__(self) -> None:
        self._network = _silero().load_silero_vad()

    def __call__(self, blocks: Iterable[NDArray[np.float32]]) -> tuple[list[float], int]:
        """One probability a frame, and the number of samples."""
        self._network.reset_states()
        probabilities: list[float] = []
        n_samples = 0
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # two on two busy cores were measured fifty times slower: the network is tiny
        try:
            with torch.inference_mode():
                for frame, length in _frames(blocks):
                    probabilities.append(float(self._network(torch.from_numpy(frame), SAMPLE_RATE)))
                    n_samples += length
        finally:
            torch.set_num_threads(threads)
        return probabilities, n_samples


def energy_activity(blocks: Iterable[NDArray[np.float32]]) -> tuple[list[float], int]:
    """1 for a frame that is within 30 dB of the loudest and above -50 dB of full scale, else 0; number of samples.

    Tells sound from silence, not speech from other sounds.
    """
    levels: list[float] = []
    n_samples = 0
    for frame, length in _frames(blocks):
        levels.append(10 * float(np.log10(np.mean(np.square(frame, dtype=np.float64)) + 1e-12)))
        n_samples += length
    threshold = max(QUIETEST_DB, max(levels, default=0.0) - RANGE_DB)
    return [float(level >= threshold) for level in levels], n_samples


def speech_spans(probabilities: Sequence[float], n_samples: int) -> list[Span]:
    """Disjoint spans of speech of at most ``MAX_SPAN_S``; a longer one is cut at its longest pause."""
    spans = _silero().utils_vad.get_speech_timestamps_from_probs(
        probabilities,
        sampling_rate=SAMPLE_RATE,
        min_speech_duration_ms=MIN_SPEECH_MS,
        max_speech_duration_s=MAX_SPAN_S,
        min_silence_duration_ms=MIN_PAUSE_MS,
        speech_pad_ms=PAD_MS,
        audio_length_samples=n_samples,
    )
    return [(int(s["start"]), int(s["end"])) for s in spans]


def pack(spans: Sequence[Span]) -> list[list[Span]]:
    """Consecutive spans that fit one window together."""
    windows: list[list[Span]] = []
    room = 0
    for span in spans:
        length = span[1] - span[0]
        if length > room:
            windows.append([])
            room = int(MAX_SPAN_S * SAMPLE_RATE)
        windows[-1].append(span)
        room -= length
    return windows


def unpack(start_s: float, end_s: float, window: Sequence[Span]) -> tuple[float, float]:
    """The time in the recording of what was heard from ``start_s`` to ``end_s`` of a window.

    Within one span: that of its middle.
    """
    middle = (start_s + end_s) / 2 * SAMPLE_RATE
    offset = 0
    for first, behind in window:
        if middle < offset + behind - first:
            break
        offset += behind - first
    else:
        offset -= behind - first
    shift = (first - offset) / SAMPLE_RATE
    lowest, highest = first / SAMPLE_RATE, behind / SAMPLE_RATE
    return min(max(start_s + shift, lowest), highest), min(max(end_s + shift, lowest), highest)


def _silero() -> ModuleType:
    """The package, whose first import sets torch to one thread for the whole process."""
    threads = torch.get_num_threads()
    import silero_vad

    torch.set_num_threads(threads)
    package: ModuleType = silero_vad
    return package


def _frames(blocks: Iterable[NDArray[np.float32]]) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Frames of ``FRAME`` samples, the last filled with zeros, each with its number of samples."""
    rest = np.zeros(0, np.float32)
    for block in blocks:
        rest = np.concatenate((rest, block))
        whole = len(rest) // FRAME * FRAME
        for start in range(0, whole, FRAME):
            yield rest[start : start + FRAME], FRAME
        rest = rest[whole:]
    if len(rest):
        yield np.pad(rest, (0, FRAME - len(rest))), len(rest)
