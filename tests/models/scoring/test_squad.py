from __future__ import annotations

import pytest

from models.scoring import squad
from models.scoring.squad import Scored


def test_case_punctuation_articles_and_spaces_do_not_count() -> None:
    assert squad.normalized("  The  U.S.-led   an Army!") == "usled army"
    assert squad.exact_match("the Broncos.", ["Panthers", "broncos"]) == 1.0
    assert squad.exact_match("Another", ["Other"]) == 0.0  # "an" goes only as a word


def test_f1_is_of_bags_of_words_and_the_best_over_the_answers() -> None:
    # 2 words are shared: precision 2/3, recall 2/2.
    assert squad.f1("Denver Broncos team", ["Denver Broncos"]) == pytest.approx(0.8)
    assert squad.f1("Denver Broncos team", ["Carolina", "Broncos team Denver"]) == 1.0
    assert squad.f1("no no", ["no"]) == pytest.approx(2 / 3)
    assert squad.f1("", ["Denver"]) == 0.0


def test_the_only_answer_to_a_question_without_one_is_nothing() -> None:
    assert squad.exact_match("", []) == squad.f1("", []) == 1.0
    assert squad.exact_match("Denver", []) == squad.f1("Denver", []) == 0.0


def test_version_1_has_two_figures() -> None:
    questions = [Scored(["Denver Broncos"], "Broncos"), Scored(["1895"], "1895")]
    assert squad.figures(questions) == {"exact": 0.5, "f1": pytest.approx((2 / 3 + 1) / 2)}
    assert squad.figures([]) == {}


QUESTIONS = [
    Scored(["a b c d"], "b c d", -3.0),  # "a" is an article: right
    Scored([], "wrong", -2.0),
    Scored(["x y"], "x", -1.0),  # F1 2/3
    Scored([], "wrong", 4.0),
    Scored(["z"], "", None),  # no span at all: never answered
]


def test_version_2_gives_no_answer_above_the_threshold() -> None:
    at_zero = squad.figures(QUESTIONS, threshold=0.0)
    assert at_zero["exact"] == pytest.approx((1 + 0 + 0 + 1 + 0) / 5)
    assert at_zero["f1"] == pytest.approx((1 + 0 + 2 / 3 + 1 + 0) / 5)
    assert at_zero["has_answer_f1"] == pytest.approx((1 + 2 / 3) / 3)
    assert at_zero["no_answer_f1"] == pytest.approx(1 / 2)
    at_two = squad.figures(QUESTIONS, threshold=-2.5)
    assert at_two["f1"] == pytest.approx((1 + 1 + 0 + 1 + 0) / 5)


def test_best_thresholds() -> None:
    # In order of the odds the sum goes 2 (nothing answered), 3, 2, 2 2/3, 1 2/3: the best is after the first.
    figures = squad.figures(QUESTIONS, threshold=0.0)
    assert (figures["best_f1"], figures["best_f1_threshold"]) == (pytest.approx(3 / 5), -3.0)
    assert (figures["best_exact"], figures["best_exact_threshold"]) == (pytest.approx(3 / 5), -3.0)
    assert squad.figures(QUESTIONS, figures["best_f1_threshold"])["f1"] == pytest.approx(figures["best_f1"])


def test_where_nothing_should_be_answered_the_best_threshold_answers_nothing() -> None:
    questions = [Scored([], "wrong", -5.0), Scored([], "wrong", 3.0)]
    best, threshold = squad.best_threshold(questions, [0.0, 0.0])
    assert best == 1.0
    assert squad.figures(questions, threshold)["f1"] == 1.0
