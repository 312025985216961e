from __future__ import annotations

from collections import Counter

import numpy as np

from stages.example_order import ExampleOrder

ONE = ExampleOrder([np.arange(100, 110)], [1.0], batch_size=4, seed=7)
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
