"""Words with times: what captions and speech recognition have in common."""

from __future__ import annotations

import re
from typing import NamedTuple

_WORD = re.compile(r"\s*\S+?[。！？]+|\s*\S+")


class Word(NamedTuple):
    """A word, or a stretch between two spaces in scripts that write none."""

    start_s: float
    end_s: float
    text: str
    """As written, with a space before it unless it continues the word before."""


def split_words(text: str) -> list[str]:
    """Cut at white space, and after the full stops of Chinese and Japanese, which no space follows."""
    words = _WORD.findall(text)
    return [f" {w.strip()}" if w[0].isspace() or i == 0 else w for i, w in enumerate(words)]


def likely_seconds(words: list[str]) -> float:
    """The longest that saying ``words`` is likely to take, from their characters (an ideograph is a syllable)."""
    return sum(0.25 + sum(0.25 if c >= "\u2e80" else 0.08 for c in word.strip()) for word in words)


def spread(words: list[str], start_s: float, end_s: float) -> list[Word]:
    """Give ``words`` the time from ``start_s`` to ``end_s`` in proportion to their characters."""
    rate = (end_s - start_s) / max(sum(len(w.strip()) for w in words), 1)
    timed = []
    for word in words:
        end = start_s + rate * len(word.strip())
        timed.append(Word(start_s, end, word))
        start_s = end
    return timed
