from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from stages.example_order import POOL, ExampleOrder

ONE = ExampleOrder([np.arange(100, 110)], [1.0], batch_size=4, seed=7)
LENGTHS = np.random.default_rng(0).permutation(250)
SIZES, RATIOS = (40, 12, 3), (1.0, 0.5, 2.0)
THREE = ExampleOrder([np.arange(n) + 100 * g for g, n in enumerate(SIZES)], RATIOS, batch_size=4, seed=7)


def test_every_pass_has_every_example_once_and_batches_run_on() -> None:
    seen = np.concatenate([ONE.step(s)[0] for s in range(5)])
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(100, 110))
    assert seen[:10].tolist() != seen[10:].tolist()
    assert ONE.steps_in(2) == 5
    assert ONE.steps_in(1) == 3


def test_numbers_name_an_example_of_a_step_for_good() -> None:
    numbers = [n for order in (ONE,) for s in range(20) for n in order.step(s)[1].tolist()]
    assert len(set(numbers)) == len(numbers) == 80
    grouped = [n for s in range(40) for n in THREE.step(s)[1].tolist()]
    assert len(set(grouped)) == len(grouped)


def test_a_step_is_on_one_group_and_an_epoch_has_each_by_its_size_and_ratio() -> None:
    steps = [THREE.step(s)[0] for s in range(2 * 14)]
    groups = [set((p // 100).tolist()) for p in steps]
    assert all(len(g) == 1 for g in groups)
    # batches of 4: 40 / 4 of the first, half of 12 / 4 rounded up, twice the one batch that the last fills
    assert THREE.steps_in(1) == 10 + 2 + 2
    for epoch in (0, 1):
        assert Counter(min(g) for g in groups[14 * epoch : 14 * epoch + 14]) == {0: 10, 1: 2, 2: 2}
    assert [min(g) for g in groups[:14]] != [min(g) for g in groups[14:]]
    assert [min(g) for g in groups[:14]] != sorted(min(g) for g in groups[:14])


def test_examples_of_a_group_are_shuffled_anew_each_pass() -> None:
    first, second = (
        [tuple(sorted(b)) for s in range(14 * e, 14 * e + 14) if (b := THREE.step(s)[0].tolist())[0] < 100]
        for e in (0, 1)
    )
    assert sorted(p for b in first for p in b) == sorted(p for b in second for p in b) == list(range(40))
    assert set(first) != set(second)


def test_half_a_ratio_sees_the_group_whole_in_time() -> None:
    order = ExampleOrder([np.arange(8), np.arange(100, 108)], [1.0, 0.5], batch_size=4, seed=0)
    seen = [p for s in range(2 * 3) for p in order.step(s)[0].tolist() if p >= 100]
    assert sorted(seen) == list(range(100, 108))


def test_a_small_group_fills_its_batch_once() -> None:
    assert {len(b) for s in range(14) if (b := THREE.step(s)[0])[0] >= 200} == {3}


def test_the_order_is_known_at_any_step() -> None:
    again = ExampleOrder(THREE.groups, RATIOS, batch_size=4, seed=7)
    for step in (27, 3, 11):
        for a, b in zip(again.step(step), THREE.step(step), strict=True):
            assert a.tolist() == b.tolist()
    other = ExampleOrder(THREE.groups, RATIOS, batch_size=4, seed=8)
    assert [other.step(s)[0].tolist() for s in range(14)] != [THREE.step(s)[0].tolist() for s in range(14)]


def by_length(n: int, batch_size: int = 2) -> tuple[ExampleOrder, ExampleOrder]:
    """An order by length, and the same without."""
    plain = ExampleOrder([np.arange(n)], [1.0], batch_size, seed=7)
    return replace(plain, lengths=lambda positions: LENGTHS[positions]), plain


def test_batches_of_like_length_are_neighbours_in_a_pool() -> None:
    """125 batches of two are pools of 50, 50 and 25. Lengths are all different, so a pool has one order by length."""
    sorted_, plain = by_length(250)
    for first, last in ((0, POOL), (POOL, 2 * POOL), (2 * POOL, 125)):
        pool = sorted(LENGTHS[p] for s in range(first, last) for p in plain.step(s)[0])
        pairs = [tuple(LENGTHS[p] for p in sorted_.step(s)[0]) for s in range(first, last)]
        assert sorted(pairs) == list(zip(pool[::2], pool[1::2], strict=True))
        assert pairs != sorted(pairs)
    assert [n for s in range(125) for n in sorted_.step(s)[1]] == [n for s in range(125) for n in plain.step(s)[1]]


def test_every_pass_by_length_has_every_example_once() -> None:
    """Seven examples in batches of two: every other batch at a pass's end is half of this pass and half of the next."""
    sorted_, plain = by_length(7)
    seen = [p for s in range(14) for p in sorted_.step(s)[0].tolist()]
    assert all(sorted(seen[start : start + 7]) == list(range(7)) for start in range(0, 28, 7))
    assert sorted_.step(3)[0].tolist() == plain.step(3)[0].tolist()
    orders = {tuple(seen[start : start + 7]) for start in range(0, 28, 7)}
    assert len(orders) == 4
    assert sorted_.step(11)[0].tolist() == by_length(7)[0].step(11)[0].tolist()


def test_a_batch_larger_than_the_data_is_in_any_order_of_length() -> None:
    sorted_, plain = by_length(3, batch_size=8)
    assert [sorted_.step(s)[0].tolist() for s in range(5)] == [plain.step(s)[0].tolist() for s in range(5)]


def test_each_group_has_batches_of_like_length() -> None:
    order = replace(THREE, lengths=lambda positions: positions % 100)
    steps = [order.step(s)[0] for s in range(14)]
    first = sorted(p.tolist() for p in steps if p[0] < 100)
    assert first == [list(range(start, start + 4)) for start in range(0, 40, 4)]
    assert [min(p) // 100 for p in steps] == [min(THREE.step(s)[0]) // 100 for s in range(14)]
