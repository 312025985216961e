"""Captions as they are shown to words as they were said."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from itertools import pairwise
from math import inf
from typing import NamedTuple

from stages.video.speech.words import Word, likely_seconds, split_words, spread

TOUCH_S = 0.1
"""Cues at most this far apart follow on each other."""

_TAG = re.compile(r"</?[A-Za-z][^<>]*>|\{\\[^{}]*\}")
_ZERO_WIDTH = re.compile("[\u200b-\u200f\u2060\ufeff]")
_MUSIC = re.compile(r"[♩-♬]+[^♩-♬]*[♩-♬]+|[♩-♬]+[^\n]*")
_SOUND = re.compile(r"\[[^\[\]]*\]|\((?:[^\s()\d]+(?:\s+|(?=\)))){1,4}\)")
_SPEAKER = re.compile(r">{2,}|^[^\S\n]*[-–—]\s+|^[^\S\n]*[A-Z][A-Z0-9 .'’-]{1,30}:(?=\s)", re.MULTILINE)


class Cue(NamedTuple):
    """What is shown from ``start_s`` to ``end_s``: stretches of text, each with the time it begins to be said."""

    start_s: float
    end_s: float
    pieces: list[tuple[float, str]]


def spoken(text: str) -> str:
    """``text`` less what is not said: tags, sounds in brackets, sung lines, marks and names of speakers.

    Round brackets hold a sound where they hold up to four words and no digit: "(about 2 cups)" stays.
    """
    text = _ZERO_WIDTH.sub("", html.unescape(_TAG.sub("", text)))
    for pattern in (_MUSIC, _SOUND, _SPEAKER):
        text = pattern.sub(" ", text)
    return text


def cue_words(cues: Sequence[Cue]) -> list[Word]:
    """Every word once, with its time.

    Roll-up captions, which repeat what is still on the screen, are merged. Where a stretch holds several words, its
    time is spread over them by characters. A cue ends where the next begins. Recognised captions (they roll up,
    overlap or have times inside) stay on the screen after their words were said, which would hide every pause: their
    words end when they are likely to have been said.
    """
    shown = sorted((c for c in map(_cut_words, cues) if c.pieces), key=lambda c: c.start_s)
    fresh = [c for c in _unroll(shown) if c.pieces]
    n_overlapping = sum(cue.end_s > following.start_s for cue, following in pairwise(fresh))
    recognised = len(fresh) < len(shown) or 4 * n_overlapping > len(fresh)
    timed: list[Word] = []
    for i, cue in enumerate(fresh):
        following = fresh[i + 1].start_s if i + 1 < len(fresh) else inf
        end = cue.end_s if cue.end_s > cue.start_s else inf
        lingers = recognised or len(cue.pieces) > 1 or end == inf
        if following > cue.start_s:
            end = min(end, following)
        starts = [start for start, _ in cue.pieces]
        for (start, words), stop in zip(cue.pieces, [*starts[1:], end], strict=True):
            start = min(start, end)
            stop = max(start, min(stop, end))
            timed += spread(words, start, min(stop, start + likely_seconds(words)) if lingers else stop)
    return timed


class _Cut(NamedTuple):
    """A cue cut into words."""

    start_s: float
    end_s: float
    pieces: list[tuple[float, list[str]]]
    last_line: int
    """How many words its last line has."""

    @property
    def words(self) -> list[str]:
        return [word.strip() for _, words in self.pieces for word in words]


def _cut_words(cue: Cue) -> _Cut:
    pieces: list[tuple[float, list[str]]] = []
    shown, start = "\n", cue.start_s
    for piece_start, text in cue.pieces:
        clean = spoken(text)
        words = split_words(clean)
        if words and not shown[-1].isspace() and not clean[0].isspace():
            words[0] = words[0].lstrip()
        start = max(start, piece_start)
        if words:
            pieces.append((start, words))
        shown += clean
    lines = [line for line in shown.splitlines() if line.strip()]
    return _Cut(cue.start_s, cue.end_s, pieces, len(split_words(lines[-1])) if lines else 0)


def _unroll(cues: Sequence[_Cut]) -> list[_Cut]:
    """Drop from each cue what the one before it showed already, if most cues repeat at least a line."""
    repeated = [0] * len(cues)
    for i, (before, cue) in enumerate(pairwise(cues), start=1):
        n = _overlap(before.words, cue.words)
        if cue.start_s - before.end_s <= TOUCH_S and n >= before.last_line:
            repeated[i] = n
    if 2 * sum(n > 0 for n in repeated) < len(cues):
        return list(cues)
    return [_drop(cue, n) for cue, n in zip(cues, repeated, strict=True)]


def _overlap(before: list[str], words: list[str]) -> int:
    """The most words that end ``before`` and begin ``words``."""
    return next((n for n in range(min(len(before), len(words)), 0, -1) if before[-n:] == words[:n]), 0)


def _drop(cue: _Cut, n: int) -> _Cut:
    pieces = []
    for start, words in cue.pieces:
        if words[n:]:
            pieces.append((start, words[n:]))
        n = max(n - len(words), 0)
    return cue._replace(pieces=pieces)
