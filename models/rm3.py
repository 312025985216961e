"""RM3: a query expanded by the words of the documents it finds (Lavrenko and Croft 2001; Abdul-Jaleel et al. 2004).

In Anserini's form, which the figures people compare with come from: the best words of each feedback document only,
documents weighed by their scores, common words left out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

MAX_SHARE = 0.1
"""Words in more than this share of the documents say nothing of a query."""
MIN_LETTERS, MAX_LETTERS = 2, 20


def may_expand(word: str, document_frequency: int, n_documents: int) -> bool:
    """Whether a word may be added to a query."""
    plain = MIN_LETTERS <= len(word) <= MAX_LETTERS and word.isalnum()
    return plain and document_frequency <= MAX_SHARE * n_documents


def expand(
    query: Mapping[int, float],
    documents: Sequence[Sequence[int]],
    scores: Sequence[float],
    allowed: np.ndarray,
    terms: int,
    query_weight: float,
) -> dict[int, float]:
    """Weights of words: the query's share ``query_weight``, the feedback documents' the rest, each summing to 1.

    query       word -> how often it stands in the query
    documents   the words of each feedback document
    scores      the documents' scores
    allowed     by word, whether it may be added [words]
    terms       how many words are added
    """
    relevance: defaultdict[int, float] = defaultdict(float)
    for words, score in zip(documents, scores, strict=True):
        counts = _best(Counter(w for w in words if allowed[w]), terms)
        total = sum(counts.values())
        for word, count in counts.items():
            relevance[word] += score * count / total
    added = _normalised(_best(relevance, terms))
    given = _normalised(query)
    if not added:
        return given
    words = sorted({*given, *added})
    return {w: query_weight * given.get(w, 0.0) + (1 - query_weight) * added.get(w, 0.0) for w in words}


def _best(weights: Mapping[int, float], n: int) -> dict[int, float]:
    """The n heaviest words, of equals those with the lower number."""
    return dict(sorted(weights.items(), key=lambda item: (-item[1], item[0]))[:n])


def _normalised(weights: Mapping[int, float]) -> dict[int, float]:
    total = sum(weights.values())
    return {word: weight / total for word, weight in weights.items()}
