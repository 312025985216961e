from __future__ import annotations

import pytest

from models.scoring.aspects import SEMEVAL, SENTIHOOD, Answer, semeval_scores, sentihood_scores


def sentihood(group: str, aspect: str, gold: str, *scores: float) -> Answer:
    return Answer(group, aspect, gold, dict(zip(SENTIHOOD, scores, strict=True)))


def semeval(group: str, aspect: str, gold: str, *scores: float) -> Answer:
    return Answer(group, aspect, gold, dict(zip(SEMEVAL, scores, strict=True)))


def test_sentihood_by_hand() -> None:
    answers = [
        sentihood("a", "price", "Positive", 0.1, 0.7, 0.2),  # right
        sentihood("a", "safety", "None", 0.8, 0.1, 0.1),  # right: the whole group is
        sentihood("b", "price", "Negative", 0.2, 0.5, 0.3),  # found, wrong sentiment: strict fails, macro F1 does not
        sentihood("b", "safety", "Positive", 0.5, 0.3, 0.2),  # missed; of the sentiments Positive is likelier
        sentihood("c", "price", "None", 0.9, 0.05, 0.05),
        sentihood("c", "safety", "None", 0.4, 0.3, 0.3),  # nothing given: no part in macro F1
        sentihood("d", "price", "None", 0.3, 0.6, 0.1),  # found, but not there
        sentihood("d", "safety", "Negative", 0.1, 0.1, 0.8),
        sentihood("e", "price", "Positive", 0.1, 0.8, 0.1),
        sentihood("e", "safety", "Positive", 0.6, 0.3, 0.1),  # missed
    ]
    figures = sentihood_scores(answers)
    # Precision of a, b, d, e: 1, 1, 1/2, 1, so 7/8; recall: 1, 1/2, 1, 1/2, so 3/4. Strict: a and c, of which
    # c's safety is None by a hair.
    assert figures["aspect_strict_accuracy"] == pytest.approx(2 / 5)
    assert figures["aspect_macro_f1"] == pytest.approx(2 * (7 / 8) * (3 / 4) / (7 / 8 + 3 / 4))
    # price: None .9 .3, present .1 .2 .1: all 6 pairs in order. safety: None .8 .4, present .5 .1 .6: 4 of 6.
    assert figures["aspect_macro_auc"] == pytest.approx((1 + 4 / 6) / 2)
    # Present: a/price .2/.9, b/price .3/.8 (wrong), b/safety .2/.5, d/safety .8/.9, e/price .1/.9, e/safety .1/.4.
    assert figures["sentiment_accuracy"] == pytest.approx(5 / 6)
    assert figures["sentiment_macro_auc"] == pytest.approx(1.0)


def test_an_area_without_both_kinds_has_no_part_in_the_average() -> None:
    answers = [
        sentihood("a", "price", "None", 0.2, 0.4, 0.4),
        sentihood("b", "price", "Positive", 0.8, 0.1, 0.1),
        sentihood("a", "safety", "None", 0.8, 0.1, 0.1),
    ]
    assert sentihood_scores(answers)["aspect_macro_auc"] == 0.0
    assert sentihood_scores([])["aspect_macro_auc"] == 0.0


def test_of_equal_scores_the_first_label_wins() -> None:
    assert sentihood("a", "price", "None", 0.4, 0.4, 0.2).label == "None"
    assert sentihood("a", "price", "None", 0.2, 0.4, 0.4).label == "Positive"


def test_semeval_by_hand() -> None:
    answers = [
        semeval("a", "food", "positive", 0.6, 0.1, 0.1, 0.1, 0.1),
        semeval("a", "price", "none", 0.1, 0.2, 0.5, 0.1, 0.1),  # found, but not there
        semeval("b", "food", "negative", 0.1, 0.2, 0.3, 0.0, 0.4),  # missed; the likeliest sentiment is right
        semeval("b", "price", "neutral", 0.3, 0.2, 0.1, 0.4, 0.0),  # conflict, without it positive
        semeval("c", "food", "conflict", 0.1, 0.1, 0.1, 0.6, 0.1),
        semeval("d", "food", "none", 0.9, 0.1, 0.0, 0.0, 0.0),  # a text without aspects has no part in precision
        semeval("e", "food", "negative", 0.1, 0.1, 0.2, 0.0, 0.6),  # missed
    ]
    figures = semeval_scores(answers)
    # Found a/food, a/price, b/price, c/food; given a/food, b/food, b/price, c/food, e/food; three are both.
    assert figures["aspect_precision"] == pytest.approx(3 / 4)
    assert figures["aspect_recall"] == pytest.approx(3 / 5)
    assert figures["aspect_f1"] == pytest.approx(2 / 3)
    assert figures["sentiment_accuracy_4"] == pytest.approx(4 / 5)  # all but b/price
    assert figures["sentiment_accuracy_3"] == pytest.approx(3 / 4)  # c/food is left out
    assert figures["sentiment_accuracy_2"] == pytest.approx(3 / 3)  # b/price too
