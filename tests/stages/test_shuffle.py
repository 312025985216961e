import numpy as np
import pytest

from stages.shuffle import permute


@pytest.mark.parametrize("n", [1, 2, 3, 16, 17, 1000, 65_537])
def test_every_position_is_taken_once(n: int) -> None:
    assert sorted(permute(np.arange(n), n, key=5)) == list(range(n))


def test_any_stretch_is_known_without_the_rest() -> None:
    whole = permute(np.arange(10_000), 10_000, key=3)
    assert (permute(np.arange(4_000, 4_064), 10_000, key=3) == whole[4_000:4_064]).all()


def test_keys_give_unrelated_orders() -> None:
    n = 5_000
    first, second = (permute(np.arange(n), n, key) for key in (1, 2))
    assert (first == second).sum() < 20
    assert abs(np.corrcoef(first, np.arange(n))[0, 1]) < 0.05
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.05


def test_all_orders_of_three_are_about_as_likely() -> None:
    orders = [tuple(permute(np.arange(3), 3, key)) for key in range(1_200)]
    counts = [orders.count(o) for o in set(orders)]
    assert len(counts) == 6
    assert min(counts) > 140


def test_positions_beyond_memory() -> None:
    n = 10**12
    images = permute(np.array([0, n // 2, n - 1]), n, key=0)
    assert len(set(images.tolist())) == 3
    assert ((images >= 0) & (images < n)).all()
