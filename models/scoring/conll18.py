"""The figures of the CoNLL 2018 shared task on parsing, by its own scorer (udtools, Zeman et al. 2018)."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

FIGURES = ("UPOS", "UFeats", "Lemmas", "UAS", "LAS", "CLAS", "MLAS", "BLEX")
"""Part of speech, universal features, lemmas; heads, heads with relations (without subtypes), the same of content
words; with tags and features of the function words that hang from them; with lemmas."""


def conll18(sentences: Iterable[tuple[str, str]], several_roots: bool = False) -> dict[str, float]:
    """F1 of every figure over pairs of the gold and the system's lines of a sentence; empty without sentences.

    several_roots    do not refuse trees with several roots, as the official scorer does

    ValueError where a tree is none, or the words of the two differ.
    """
    from udtools import udeval

    pairs = list(sentences)
    if not pairs:
        return {}
    try:
        with _recursion_to(max(text.count("\n") for pair in pairs for text in pair)):
            gold, system = (_load(udeval, texts, several_roots) for texts in zip(*pairs, strict=True))
            scores = udeval.evaluate(gold, system)
    except udeval.UDError as error:
        raise ValueError(str(error)) from error
    return {name: float(scores[name].f1) for name in FIGURES}


@contextmanager
def _recursion_to(depth: int) -> Iterator[None]:
    """Allow so many more calls within one another: the scorer climbs from a word to the root by a call a head."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(before + depth)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def _load(udeval: Any, sentences: Iterable[str], several_roots: bool) -> Any:
    text = "".join(f"{sentence}\n\n" for sentence in sentences)
    return udeval.load_conllu(StringIO(text), "", {"multiple_roots_okay": several_roots})
