import numpy as np

from stages.micro_batches import cut, seed_of


def test_cut_groups_like_lengths_within_the_padded_budget() -> None:
    chunks = cut(np.array([9, 2, 8, 2, 3, 10]), max_tokens=20)
    assert [c.tolist() for c in chunks] == [[1, 3, 4], [2, 0], [5]]  # padded: 3 x 3, 2 x 9, 1 x 10


def test_an_example_longer_than_the_budget_is_a_batch_of_its_own() -> None:
    assert [c.tolist() for c in cut(np.array([100, 1]), max_tokens=20)] == [[1], [0]]


def test_seeds_differ_and_stay() -> None:
    assert len({seed_of(a, b) for a in range(20) for b in range(20)}) == 400
    assert seed_of(1, 2) != seed_of(2, 1)
    assert 0 <= seed_of(7, 8, 9) < 2**63
    assert seed_of(7, 8, 9) == seed_of(7, 8, 9)
