from __future__ import annotations

import pytest

from models.scoring.rouge import rouge


def test_figures_by_hand() -> None:
    """Candidate 4 words, reference 6. Common: the cat sat = 3 words, 2 pairs of 3 and 5."""
    figures = rouge(["the cat sat down"], ["the cat sat on the mat"])
    assert figures["rouge1"] == pytest.approx(2 * (3 / 4 * 3 / 6) / (3 / 4 + 3 / 6))
    assert figures["rouge2"] == pytest.approx(2 * (2 / 3 * 2 / 5) / (2 / 3 + 2 / 5))
    assert figures["rougeLsum"] == pytest.approx(figures["rouge1"])


def test_sentences_may_come_in_any_order() -> None:
    assert rouge(["a dog barked", "the cat sat"], ["the cat sat", "a dog barked"])["rougeLsum"] == 1


def test_words_are_stemmed() -> None:
    assert rouge(["jumping cats"], ["jumped cat"])["rouge1"] == 1


def test_an_empty_summary_is_nothing() -> None:
    assert set(rouge([], ["the cat"]).values()) == {0.0}
