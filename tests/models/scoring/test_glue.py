import pytest

from models.scoring import glue

GOLD = ["1", "1", "1", "0", "0", "0", "0", "0"]
PREDICTED = ["1", "1", "0", "1", "0", "0", "0", "0"]
"""Two true positives, one false negative, one false positive, four true negatives."""


def test_classification_by_hand() -> None:
    assert glue.accuracy(GOLD, PREDICTED) == 6 / 8
    assert glue.f1(GOLD, PREDICTED, "1") == pytest.approx(2 / 3)
    assert glue.f1(GOLD, PREDICTED, "0") == pytest.approx(4 / 5)
    assert glue.macro_f1(GOLD, PREDICTED) == pytest.approx((2 / 3 + 4 / 5) / 2)
    # (TP TN - FP FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN)) = (2*4 - 1) / sqrt(3*3*5*5)
    assert glue.matthews(GOLD, PREDICTED) == pytest.approx(7 / 15)


def test_a_label_that_is_only_predicted_counts() -> None:
    # sklearn.metrics.f1_score(average="macro"): 2/3 of a, 1 of b, 0 of c
    assert glue.macro_f1(list("aabb"), list("acbb")) == pytest.approx(5 / 9)


def test_a_label_that_was_never_seen_is_wrong_and_no_more() -> None:
    assert glue.accuracy(["0", "new"], ["0", "0"]) == 0.5
    assert glue.macro_f1(["0", "new"], ["0", "0"]) == pytest.approx((2 / 3 + 0) / 2)


def test_correlations_by_hand() -> None:
    # Deviations (-1.5 -.5 .5 1.5) and (-1 -1 0 2): covariance 5, squares 5 and 6.
    assert glue.pearson([1, 2, 3, 4], [0, 0, 1, 3]) == pytest.approx(5 / 30**0.5)
    # Ranks 1 2 3 4 and 1.5 1.5 3 4: covariance 4.5, squares 5 and 4.5.
    assert glue.spearman([1, 2, 3, 4], [0, 0, 1, 3]) == pytest.approx(4.5 / 22.5**0.5)


def test_undefined_correlations_are_zero() -> None:
    assert glue.matthews(["1", "0"], ["1", "1"]) == 0
    assert glue.pearson([1, 2], [3, 3]) == glue.spearman([1], [2]) == 0
