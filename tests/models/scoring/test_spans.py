from __future__ import annotations

import warnings

import pytest

from models.scoring.spans import span_scores, word_accuracy
from models.tag_schemes import repair


def test_a_span_is_right_where_label_beginning_and_end_are() -> None:
    gold = [["B-PER", "I-PER", "O", "B-LOC"], ["B-ORG", "O"]]
    answers = [["B-PER", "I-PER", "O", "B-ORG"], ["B-ORG", "I-ORG"]]  # one of three answered, one of three given
    assert span_scores(gold, answers) == {"precision": pytest.approx(1 / 3), "recall": pytest.approx(1 / 3)} | {
        "f1": pytest.approx(1 / 3)
    }
    assert word_accuracy(gold, answers) == pytest.approx(4 / 6)


def test_spans_are_pooled_over_sequences() -> None:
    gold = [["B-X", "O", "B-X", "O"], ["B-Y"]]
    answers = [["B-X", "O", "O", "O"], ["B-X"]]
    figures = span_scores(gold, answers)
    assert figures == {"precision": 0.5, "recall": pytest.approx(1 / 3), "f1": pytest.approx(0.4)}


def test_a_span_that_nothing_begins_counts_as_conlleval_counts_it() -> None:
    gold, answers = [["B-X", "I-X", "O", "B-Y"]], [["I-X", "I-X", "O", "I-Y"]]
    assert span_scores(gold, answers)["f1"] == 1.0
    assert span_scores(gold, [repair(answers[0])])["f1"] == 1.0


def test_spans_do_not_reach_into_the_next_sequence() -> None:
    assert span_scores([["B-X"], ["I-X"]], [["B-X"], ["B-X"]])["f1"] == 1.0


def test_a_tag_that_training_never_saw_counts_as_missed() -> None:
    assert span_scores([["B-new", "B-X"]], [["O", "B-X"]]) == {
        "precision": 1.0,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3),
    }


def test_undefined_figures_are_zero() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        none = {"precision": 0.0, "recall": 0.0, "f1": 0.0}
        assert span_scores([["O", "O"]], [["O", "O"]]) == none
        assert span_scores([["B-X"]], [["O"]]) == none
        assert span_scores([], []) == none
    assert word_accuracy([], []) == 0.0
