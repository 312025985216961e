"""Which pairs are filmed, which are kept out of training, and what happens when in a video."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stages.video.kitchen.narration import CHATTER, FAREWELLS, GREETINGS, narrate, one_of

Pair = tuple[str, str]
"""Verb and object."""

FPS = 20
"""Frames per second of every video. Scenes begin and end on a frame."""
ACTION_S = (4.5, 7.5)
IDLE_S = (1.8, 3.2)
IDLE_SHARE = 0.4
"""Share of the cuts between two actions that are filled with chatter."""


@dataclass(frozen=True)
class Scene:
    """From ``start_s`` to ``end_s``; verb and object are None while nothing is cooked."""

    start_s: float
    end_s: float
    verb: str | None
    object: str | None
    sentence: str


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Random numbers that depend on the seed and the names alone, not on what was drawn before."""
    words = [zlib.crc32(n.encode()) if isinstance(n, str) else n for n in names]
    return np.random.default_rng([seed, *words])


def held_out_pairs(verbs: Sequence[str], objects: Sequence[str], n: int, seed: int) -> list[Pair]:
    """``n`` pairs that no training video shows, spread so that every verb and every object loses about as many."""
    rng = generator(seed, "held out")
    shuffled_verbs, shuffled_objects = rng.permutation(len(verbs)), rng.permutation(len(objects))
    period = math.lcm(len(verbs), len(objects))
    pairs = []
    for i in range(n):
        verb = shuffled_verbs[(i + i // period) % len(verbs)]
        pairs.append((verbs[verb], objects[shuffled_objects[i % len(objects)]]))
    return pairs


def deal(pairs: Sequence[Pair], rng: np.random.Generator) -> Iterator[Pair]:
    """Pairs without end: all of them in a random order, then all again, so that their counts stay equal."""
    while True:
        for i in rng.permutation(len(pairs)):
            yield pairs[i]


def cast(
    videos: dict[str, int],
    scenes: int,
    verbs: Sequence[str],
    objects: Sequence[str],
    held_out: Sequence[Pair],
    seed: int,
) -> Iterator[tuple[str, str, list[Pair]]]:
    """Id, split and pairs of every video. Every fourth scene of the test videos is a held-out pair.

    videos   number of videos a split: train, dev, test
    """
    seen = [(v, o) for v in verbs for o in objects if (v, o) not in held_out]
    for split, n in videos.items():
        rng = generator(seed, "cast", split)
        seen_deck, unseen_deck = deal(seen, rng), deal(held_out, rng)
        scene = 0
        for i in range(n):
            pairs = []
            for _ in range(scenes):
                unseen = split == "test" and held_out and scene % 4 == 3
                pairs.append(next(unseen_deck if unseen else seen_deck))
                scene += 1
            yield f"{split}_{i:04d}", split, pairs


def write_script(video_id: str, pairs: Sequence[Pair], seed: int) -> list[Scene]:
    """The scenes of a video, without gaps: a greeting, the actions with chatter between some, a farewell."""
    rng = generator(seed, "script", video_id)
    scenes: list[Scene] = []

    def add(length: tuple[float, float], verb: str | None, object_: str | None, sentence: str) -> None:
        start = scenes[-1].end_s if scenes else 0.0
        frames = round(rng.uniform(*length) * FPS)
        scenes.append(Scene(start, round(start * FPS + frames) / FPS, verb, object_, sentence))

    add(IDLE_S, None, None, one_of(GREETINGS, rng))
    for k, (verb, object_) in enumerate(pairs):
        if k and rng.random() < IDLE_SHARE:
            add(IDLE_S, None, None, one_of(CHATTER, rng))
        add(ACTION_S, verb, object_, narrate(verb, object_, rng))
    add(IDLE_S, None, None, one_of(FAREWELLS, rng))
    return scenes


def captions(scenes: Sequence[Scene]) -> str:
    """WebVTT: a cue a scene, from its beginning to its end."""
    cues = [f"{_clock(s.start_s)} --> {_clock(s.end_s)}\n{s.sentence}\n" for s in scenes]
    return "\n".join(["WEBVTT\n", *cues])


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest / 1000:06.3f}"
