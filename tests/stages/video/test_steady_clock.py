from __future__ import annotations

import pytest

from stages.video.steady_clock import BACK_S, GAP_S, SteadyClock


def begins(stamps_s: list[float | None], lasts_s: float = 1.0) -> list[float]:
    """What the clock says of frames of ``lasts_s``."""
    clock, end_s, found = SteadyClock(), 0.0, []
    for stamp_s in stamps_s:
        found.append(clock(stamp_s, end_s))
        end_s = found[-1] + lasts_s
    return found


def test_seconds_are_counted_from_the_first_stamp_with_holes() -> None:
    assert begins([7, 8, 9.5, 9.5 + GAP_S]) == [0, 1, 2.5, 2.5 + GAP_S]


@pytest.mark.parametrize("jump_s", [-100.0, -2.5, GAP_S + 10, 1e6])
def test_jumps_take_no_time_and_holes_after_them_count(jump_s: float) -> None:
    assert begins([0, 1, 2, *(t + jump_s for t in (3, 4, 8))]) == [0, 1, 2, 3, 4, 8]


@pytest.mark.parametrize("stray_s", [-100.0, 1e6])
def test_a_single_stray_stamp_is_passed_over(stray_s: float) -> None:
    assert begins([0, 1, stray_s, 3, 5]) == [0, 1, 2, 3, 5]


def test_stamps_out_of_order_do_not_go_back_and_are_no_jump() -> None:
    assert begins([0, 1, 2, 2 - BACK_S, 4]) == [0, 1, 2, 2, 4]


def test_without_a_stamp_it_follows_what_was_before() -> None:
    assert begins([None, None, 5, None, 8]) == [0, 1, 2, 3, 5]


def test_jumps_are_summed() -> None:
    clock = SteadyClock()
    for i, stamp_s in enumerate((0, 1, 5000, 5001, 10, 11)):
        assert clock(stamp_s, i) == i
    assert clock.jumped_s == 5001 - 3 + 11 - 5001 - 2


def test_the_first_stamp_may_lie_before_the_origin() -> None:
    clock = SteadyClock(10.0)
    assert [clock(4.0, 0.0), clock(12.0, 0.0)] == [-6.0, 2.0]
