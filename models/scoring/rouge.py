"""ROUGE as summarization reports it: F of ROUGE-1, ROUGE-2 and ROUGE-L, stemmed, one line a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

ROUGE = ("rouge1", "rouge2", "rougeLsum")
"""rougeLsum is ROUGE-1.5.5's ROUGE-L: the longest common subsequence sentence by sentence. Over a summary taken for one
sentence, as rouge-score's rougeL does, the order of its sentences would count."""


def rouge(summary: Sequence[str], reference: Sequence[str]) -> dict[str, float]:
    """F-measures (0 to 1) of a summary's sentences against a reference's, by name.

    Equal to ``ROUGE-1.5.5 -n 2 -m -a`` up to its tokenizer: words are runs of letters a to z and digits.
    """
    scores = _scorer().score("\n".join(reference), "\n".join(summary))
    return {name: float(scores[name].fmeasure) for name in ROUGE}


@cache
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(ROUGE), use_stemmer=True)
