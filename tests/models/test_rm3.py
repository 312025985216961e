from __future__ import annotations

import numpy as np
import pytest

from models.rm3 import expand, may_expand

ALLOWED = np.array([True, True, True, False])


def test_by_hand() -> None:
    """Document 0 has word 1 twice and word 2 once, score 2; document 1 word 2 once, score 1. So the relevance model
    has 2 * 2/3 for word 1 and 2 * 1/3 + 1 for word 2, in shares 4/9 and 5/9; the query's share is .4."""
    weights = expand({0: 1, 1: 1}, [[1, 1, 2], [2]], [2.0, 1.0], ALLOWED, terms=10, query_weight=0.4)
    assert weights == pytest.approx({0: 0.4 / 2, 1: 0.4 / 2 + 0.6 * 4 / 9, 2: 0.6 * 5 / 9})
    assert sum(weights.values()) == pytest.approx(1)


def test_only_the_best_words_of_a_document_and_of_all() -> None:
    weights = expand({0: 1}, [[1, 1, 2], [2]], [2.0, 1.0], ALLOWED, terms=1, query_weight=0.0)
    assert weights == pytest.approx({0: 0.0, 1: 1.0})


def test_common_words_are_not_added() -> None:
    assert expand({0: 3}, [[3, 3]], [1.0], ALLOWED, terms=5, query_weight=0.5) == {0: 1.0}


@pytest.mark.parametrize(
    ("word", "frequency", "may"),
    [
        ("wing", 10, True),
        ("wing", 11, False),
        ("a", 1, False),
        ("x" * 21, 1, False),
        ("a_b", 1, False),
        ("3d", 1, True),
    ],
)
def test_which_words_may_be_added(word: str, frequency: int, may: bool) -> None:
    assert may_expand(word, frequency, n_documents=100) is may
