from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from models.spanning_tree import is_tree, maximum_spanning_tree


def best_of_all(scores: np.ndarray, single_root: bool) -> tuple[int, ...]:
    """The best tree by trying every choice of heads."""
    n = len(scores)
    trees = [
        heads
        for heads in product(range(n + 1), repeat=n)
        if is_tree(heads) and (not single_root or heads.count(0) == 1)
    ]
    return max(trees, key=lambda heads: sum(scores[i, head] for i, head in enumerate(heads)))


def test_a_tree_by_hand() -> None:
    """John saw Mary (McDonald et al. 2005): greedily John and saw are each other's heads."""
    scores = np.array(
        # root John saw Mary
        [[9, 0, 30, 11], [10, 20, 0, 0], [9, 3, 30, 0]]
    )
    assert maximum_spanning_tree(scores).tolist() == [2, 0, 2]


def test_one_root_where_two_would_score_more() -> None:
    """Both words like the root best: 5 + 5 = 10. With one root it is 5 + 2, from word 2 down, not 5 + 1."""
    scores = np.array([[5.0, 0, 2.0], [5.0, 1.0, 0]])
    assert maximum_spanning_tree(scores, single_root=False).tolist() == [0, 0]
    assert maximum_spanning_tree(scores).tolist() == [2, 0]


def test_the_root_is_not_the_word_that_scores_best_under_it() -> None:
    """Word 1 is the better root by 1, but from word 2 the other arcs gain 3."""
    scores = np.array([[8.0, 0, 4.0, 1.0], [7.0, 1.0, 0, 1.0], [7.5, 1.0, 4.0, 0]])
    assert maximum_spanning_tree(scores).tolist() == [2, 0, 2]


@pytest.mark.parametrize("single_root", [True, False])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_no_tree_is_better(n: int, single_root: bool) -> None:
    for seed in range(20):
        draw = np.random.default_rng(seed)
        scores = draw.normal(size=(n, n + 1)) * 10.0 ** draw.integers(-3, 4)
        scores[:, 0] += draw.normal()
        assert tuple(maximum_spanning_tree(scores, single_root)) == best_of_all(scores, single_root)


def test_an_impossible_arc_is_taken_only_where_there_is_no_other_tree() -> None:
    scores = np.array([[-np.inf, 0, -1.0], [-2.0, -np.inf, 0]])
    assert maximum_spanning_tree(scores).tolist() == [2, 0]
    assert maximum_spanning_tree(np.full((2, 3), -np.inf)).tolist() in ([0, 1], [2, 0])


def test_long_sentences_of_equal_scores_have_a_tree_with_one_root() -> None:
    heads = maximum_spanning_tree(np.zeros((200, 201)))
    assert is_tree(heads)
    assert (heads == 0).sum() == 1


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="not a number"):
        maximum_spanning_tree(np.array([[0.0, 0, np.nan], [0, 0, 0]]))


@pytest.mark.parametrize(("heads", "tree"), [([0], True), ([2, 0], True), ([2, 1], False), ([0, 3, 4, 2], False)])
def test_circles_are_no_trees(heads: list[int], tree: bool) -> None:
    assert is_tree(heads) is tree
