"""The sentences that an extractive summariser should have chosen, found greedily from a summary people wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NO_WORD = re.compile(r"[^a-z0-9 ]")

Grams = set[tuple[str, ...]]


def greedy_oracle(sentences: Sequence[str], summary: Sequence[str], most: int) -> list[int]:
    """Positions of the sentences that together come nearest to ``summary``, in the order they were chosen.

    One sentence after another is taken: the one that raises ROUGE-1 F + ROUGE-2 F most, the first of several, until
    there are ``most`` or none raises it. Both are over sets of n-grams, of lower-case words stripped of everything but
    letters and digits (after Nallapati et al. 2017; nlpyang/BertSum).
    """
    reference = [word for sentence in summary for word in _words(sentence)]
    golds = [_grams(reference, n) for n in (1, 2)]
    grams = [[_grams(_words(sentence), n) for n in (1, 2)] for sentence in sentences]
    chosen: list[int] = []
    together: list[Grams] = [set(), set()]
    best = 0.0
    while len(chosen) < most:
        scores = [
            -1.0
            if i in chosen
            else sum(_f(had | more, gold) for had, more, gold in zip(together, mine, golds, strict=True))
            for i, mine in enumerate(grams)
        ]
        highest = max(scores, default=0.0)
        if highest <= best:
            break
        best = highest
        chosen.append(scores.index(highest))
        together = [had | more for had, more in zip(together, grams[chosen[-1]], strict=True)]
    return chosen


def _words(sentence: str) -> list[str]:
    return _NO_WORD.sub("", " ".join(sentence.lower().split())).split()


def _grams(words: Sequence[str], n: int) -> Grams:
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def _f(candidate: Grams, gold: Grams) -> float:
    """Harmonic mean of the shares of either set that the other has."""
    total = len(candidate) + len(gold)
    return 2 * len(candidate & gold) / total if total else 0.0
