from __future__ import annotations

import numpy as np
import pytest

from models.fusion import Weights, average_precision, combinations, fill_missing, fuse, tune

NAN = np.nan
FIRST = np.array([1.0, 2.0, 3.0])
"""Three documents, in descending order of their ids: c, b, a."""
BEST = np.array([[5.0, 4.0, 1.0], [6.0, 0.0, NAN], [-1.0, -2.0, -3.0]])


class TestFuse:
    def test_by_hand(self) -> None:
        """c: .5 * 1 + .5 * (5 + .5 * 4 + .1 * 1); the missing sentence of b is the lowest score, -3."""
        (fused,) = fuse(FIRST, fill_missing(BEST), [Weights(0.5, (1.0, 0.5, 0.1))])
        assert fused == pytest.approx([0.5 + 3.55, 1.0 + 0.5 * (6 - 0.3), 1.5 + 0.5 * (-1 - 1 - 0.3)])

    def test_a_missing_sentence_as_the_reference_has_it(self) -> None:
        (fused,) = fuse(FIRST, fill_missing(BEST, zero=True), [Weights(0.5, (1.0, 0.5, 0.1))])
        assert fused[1] == pytest.approx(1.0 + 3.0)

    def test_the_best_sentence_alone(self) -> None:
        (fused,) = fuse(np.full(3, NAN), BEST[:, :1], [Weights(0.0, (1.0,))])
        assert fused == pytest.approx([5, 6, -1])

    def test_all_combinations_at_once(self) -> None:
        weights = combinations((0.0, 0.5), ((0.0, 1.0), (0.5,)))
        assert weights == [
            Weights(0.0, (1.0, 0.0, 0.5)),
            Weights(0.0, (1.0, 1.0, 0.5)),
            Weights(0.5, (1.0, 0.0, 0.5)),
            Weights(0.5, (1.0, 1.0, 0.5)),
        ]
        together = fuse(FIRST, fill_missing(BEST), weights)
        alone = [fuse(FIRST, fill_missing(BEST), [w])[0] for w in weights]
        assert together == pytest.approx(np.array(alone))


class TestAveragePrecision:
    RELEVANT = np.array([True, False, True])

    def test_by_hand(self) -> None:
        """Ranked a, b, c: relevant at 1 and 3. Ranked b, c, a: at 2 and 3. Of four relevant ones two were found."""
        scores = np.array([[1.0, 2.0, 3.0], [2.0, 3.0, 1.0]])
        assert average_precision(scores, self.RELEVANT, 2) == pytest.approx([(1 + 2 / 3) / 2, (1 / 2 + 2 / 3) / 2])
        assert average_precision(scores, self.RELEVANT, 4) == pytest.approx([(1 + 2 / 3) / 4, (1 / 2 + 2 / 3) / 4])

    def test_ties_are_broken_by_descending_id(self) -> None:
        """All equal: c, b, a. What float32 cannot tell apart is equal too."""
        for scores in (np.zeros((1, 3)), np.array([[1.0, 1.0 + 1e-12, 1.0]])):
            assert average_precision(scores, self.RELEVANT, 2) == pytest.approx([(1 + 2 / 3) / 2])

    def test_a_query_without_relevant_documents(self) -> None:
        assert average_precision(np.ones((1, 3)), np.zeros(3, bool), 0) == [0.0]


class TestTune:
    AP = np.array([[0.9, 0.1, 0.1], [0.2, 0.8, 0.8], [0.3, 0.6, 0.7]])
    """Three queries, three combinations."""

    def test_a_fold_has_what_is_best_for_the_others(self) -> None:
        """Means over the other folds: for fold 0 .25, .7, .75; for fold 1 .6, .35, .4; for fold 2 .55, .45, .45."""
        assert tune(self.AP, np.array([0, 1, 2]), [0, 1, 2]) == {0: 2, 1: 0, 2: 0}

    def test_of_equals_the_first(self) -> None:
        assert tune(self.AP[:, 1:], np.array([0, 1, 0]), [0, 1]) == {0: 0, 1: 1}

    def test_a_fold_without_judged_queries_has_weights_too(self) -> None:
        assert tune(self.AP, np.array([0, 1, 2]), [3]) == {3: 2}

    def test_one_fold_has_no_others(self) -> None:
        with pytest.raises(ValueError, match="no query outside of fold 0"):
            tune(self.AP, np.zeros(3, int), [0])
