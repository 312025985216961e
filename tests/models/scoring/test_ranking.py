from __future__ import annotations

import math

import numpy as np
import pytest

from models.scoring.ranking import check_measures, measure, reciprocal_rank, trec_order


class TestTrecOrder:
    def test_of_equal_scores_the_greater_id_is_first(self) -> None:
        ids = ["d1", "d10", "d9", "d2"]
        assert [ids[i] for i in trec_order(np.array([1.0, 1.0, 1.0, 2.0]), ids)] == ["d2", "d9", "d10", "d1"]

    def test_scores_are_float32(self) -> None:
        """16777217 is not a float32: trec_eval reads the same number twice."""
        ids = ["a", "b"]
        assert list(trec_order(np.array([16777217.0, 16777216.0]), ids)) == [1, 0]
        assert list(trec_order(np.array([16777218.0, 16777216.0]), ids)) == [0, 1]

    def test_nothing(self) -> None:
        assert len(trec_order(np.zeros(0), [])) == 0


class TestReciprocalRank:
    def test_of_the_first_relevant_document(self) -> None:
        assert reciprocal_rank(["a", "b", "c"], {"b", "c"}) == 0.5

    def test_only_down_to_the_cutoff(self) -> None:
        ranked = [str(i) for i in range(20)]
        assert reciprocal_rank(ranked, {"9"}) == 0.1
        assert reciprocal_rank(ranked, {"10"}) == 0.0
        assert reciprocal_rank(ranked, {"10"}, cutoff=20) == pytest.approx(1 / 11)


class TestMeasure:
    GRADES = {"q1": {"a": 1, "b": 3, "z": 0}, "q2": {"c": 1}, "q3": {"c": 1}}  # noqa: RUF012
    RANKED = {"q1": ["x", "b", "a", "z"], "q2": ["c"], "unjudged": ["a"]}  # noqa: RUF012

    def figures(self, *names: str) -> dict[str, float]:
        values = measure(names, self.GRADES, self.RANKED)
        return {name: sum(by_query.values()) / len(by_query) for name, by_query in values.items()}

    def test_mrr_divides_by_all_judged_queries(self) -> None:
        """q1 has 1/2, q2 has 1, q3 was not ranked; a query that nobody judged is not counted."""
        assert self.figures("MRR@10") == {"MRR@10": pytest.approx((0.5 + 1 + 0) / 3)}

    def test_ap_and_precision_by_hand(self) -> None:
        figures = self.figures("AP@1000", "P@20")
        assert figures["AP@1000"] == pytest.approx(((1 / 2 + 2 / 3) / 2 + 1 + 0) / 3)
        assert figures["P@20"] == pytest.approx((2 / 20 + 1 / 20) / 3)

    def test_a_document_that_is_ranked_twice_counts_once_where_it_stands_first(self) -> None:
        found = measure(["AP@10", "MRR@10"], {"q": {"a": 1, "b": 1}}, {"q": ["a", "x", "a", "b"]})
        assert found == {"AP@10": {"q": pytest.approx((1 + 2 / 3) / 2)}, "MRR@10": {"q": 1.0}}

    def test_ndcg_has_grades_for_gains(self) -> None:
        gained = 3 / math.log2(3) + 1 / math.log2(4)
        best = 3 / math.log2(2) + 1 / math.log2(3)
        assert measure(["nDCG@10"], self.GRADES, self.RANKED)["nDCG@10"]["q1"] == pytest.approx(gained / best)

    def test_the_given_order_counts_whatever_the_ids(self) -> None:
        for ranked in (["a", "b"], ["b", "a"]):
            assert measure(["RR", "MRR@10"], {"q": {"a": 1}}, {"q": ranked}) == {
                "RR": {"q": 1.0 / (1 + ranked.index("a"))},
                "MRR@10": {"q": 1.0 / (1 + ranked.index("a"))},
            }

    @pytest.mark.parametrize("name", ["mrr@10", "MRR@0", "MRR@x", "nonsense", "AP@"])
    def test_unknown_names(self, name: str) -> None:
        with pytest.raises(ValueError, match="no measure"):
            check_measures([name])
