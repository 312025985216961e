"""Words with times to sentences with times."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from stages.video.speech.words import Word

SILENCE_S = 5.0
"""A silence this long ends a sentence, whatever its punctuation."""

_MARKS = ".!?…。！？"
_CLOSING = "\"'”’»)]}"
_TITLES = frozenset(("dr", "mr", "mrs", "ms", "mx", "prof", "st", "e.g", "i.e", "vs"))
"""Never end a sentence."""
_BEFORE_NUMBERS = frozenset(("no", "nos", "fig", "approx", "ca", "p", "vol"))
_UNITS = frozenset(
    ("tbsp", "tsp", "oz", "lb", "lbs", "pt", "qt", "gal", "min", "mins", "hr", "hrs", "sec", "deg", "temp")
    + ("etc", "inc", "ltd", "co", "jr", "sr", "a.m", "p.m")
)
"""End a sentence where the next word is not in lower case."""


class Sentence(NamedTuple):
    start_s: float
    end_s: float
    text: str


def sentences(words: Sequence[Word], pause_s: float, max_words: int) -> list[Sentence]:
    """Cut ``words`` (ascending in time) into sentences.

    Where there is punctuation, at punctuation; a sentence that holds a silence of ``SILENCE_S`` is two. What does not
    end in punctuation, or only after more than twice ``max_words``, counts as unpunctuated and is cut at every pause
    of ``pause_s``. What is still longer than ``max_words`` is cut where the pause is longest, at a comma where no
    pause is longer than another, and never near its ends.
    """
    found: list[Sequence[Word]] = []
    for piece in _cut(words, [_ends_sentence(words, i) or _gap(words, i) >= SILENCE_S for i in range(len(words))]):
        if _ends_sentence(piece, len(piece) - 1) and len(piece) <= 2 * max_words:
            found += _halve(piece, max_words)
        else:
            for part in _cut(piece, [_gap(piece, i) >= pause_s for i in range(len(piece))]):
                found += _halve(part, max_words)
    return [Sentence(f[0].start_s, max(w.end_s for w in f), "".join(w.text for w in f).strip()) for f in found]


def _cut(words: Sequence[Word], ends: Sequence[bool]) -> list[Sequence[Word]]:
    bounds = [0, *(i + 1 for i, end in enumerate(ends[:-1]) if end), len(words)]
    return [words[a:b] for a, b in pairwise(bounds) if b > a]


def _gap(words: Sequence[Word], i: int) -> float:
    """Seconds of silence after word ``i``; 0 after the last."""
    return words[i + 1].start_s - words[i].end_s if i + 1 < len(words) else 0.0


def _halve(words: Sequence[Word], max_words: int) -> list[Sequence[Word]]:
    if len(words) <= max_words:
        return [words]
    margin = len(words) // 4
    cut = max(
        range(max(margin, 1), len(words) - margin),
        key=lambda i: (round(_gap(words, i - 1), 2), words[i - 1].text[-1] in ",;:—–", -abs(2 * i - len(words))),
    )
    return _halve(words[:cut], max_words) + _halve(words[cut:], max_words)


def _ends_sentence(words: Sequence[Word], i: int) -> bool:
    """Whether a sentence ends with word ``i``: at ``.?!…`` that does not mark an abbreviation, initial or list item."""
    word = words[i].text.strip()
    bare = word.rstrip(_CLOSING)
    if not bare or bare[-1] not in _MARKS:
        return False
    following = words[i + 1].text if i + 1 < len(words) else ""
    if not following or bare[-1] in "。！？":
        return True
    if not following[0].isspace():
        return False
    begins = following.strip().lstrip("\"'“‘«([{-–—¿¡")[:1]
    if bare[-1] in "!?":
        return bare == word or not begins.islower()
    stem = bare.rstrip(".…").lower()
    if bare.endswith(("..", "…")) or stem in _UNITS:
        return not begins.islower()
    if stem in _TITLES or (stem in _BEFORE_NUMBERS and begins.isdigit()):
        return False
    if re.fullmatch(r"[a-hj-z]|(?:\w\.)+\w", stem):
        return False
    counts = stem.isdigit() and (i == 0 or words[i - 1].text.rstrip(_CLOSING)[-1:] in _MARKS)
    return not counts
