"""The sound track: each action has its own noise, made from filtered noise and tones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stages.video.kitchen.script import Scene

RATE = 16_000
"""Samples per second."""


def sound_track(scenes: Sequence[Scene], rng: np.random.Generator) -> np.ndarray:
    """Mono float32 samples in -1 … 1 for the whole video."""
    ends = [round(s.end_s * RATE) for s in scenes]
    starts = [0, *ends[:-1]]
    return np.concatenate([_sound(s.verb, b - a, rng) for s, a, b in zip(scenes, starts, ends, strict=True)])


def _sound(verb: str | None, n: int, rng: np.random.Generator) -> np.ndarray:
    t_s = np.arange(n) / RATE
    noise = rng.standard_normal(n)
    hum = 0.02 * np.sin(2 * np.pi * 100 * t_s)
    if verb is None:
        return hum.astype(np.float32)
    beats_per_s, decay, smooth, tone_hz = _CHARACTER[verb]
    loud = np.exp(-decay * ((t_s * beats_per_s) % 1))
    rustle = np.convolve(noise, np.full(smooth, smooth**-0.5), "same")
    samples = 0.12 * loud * rustle + 0.1 * loud * np.sin(2 * np.pi * tone_hz * t_s) + hum
    return np.clip(samples, -1, 1).astype(np.float32)


_CHARACTER = {
    "cut": (4.0, 9.0, 6, 240.0),
    "stir": (1.0, 1.5, 24, 160.0),
    "pour": (6.0, 0.6, 3, 620.0),
    "fry": (11.0, 0.9, 1, 0.0),
    "peel": (1.8, 2.5, 4, 0.0),
    "wash": (0.7, 0.3, 12, 0.0),
}
"""Verb -> beats a second, how fast a beat fades, samples the noise is averaged over, tone in Hz."""
