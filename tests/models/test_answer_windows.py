from __future__ import annotations

import itertools

import pytest

from models.answer_windows import cut_windows, judged_pieces


def test_the_windows_of_berts_own_table() -> None:
    # google-research/bert: windows start a stride apart until one reaches the end, which may be shorter.
    assert cut_windows(10, 6, 3) == [(0, 6), (3, 9), (6, 10)]
    assert cut_windows(9, 6, 3) == [(0, 6), (3, 9)]
    assert cut_windows(5, 6, 3) == [(0, 5)]
    assert cut_windows(7, 3, 5) == [(0, 3), (3, 6), (6, 7)]  # a stride beyond the window would leave pieces out
    assert cut_windows(0, 6, 3) == []


def test_a_piece_is_judged_where_it_has_most_context() -> None:
    # Piece 4 has 1 to the right in the first window and 1 to the left in the second: the first one's counts.
    assert judged_pieces(cut_windows(10, 6, 3)) == [(0, 5), (5, 8), (8, 10)]
    assert judged_pieces([]) == []


@pytest.mark.parametrize(("size", "stride"), itertools.product((1, 2, 5, 8, 13), (1, 3, 6, 20)))
def test_judged_runs_are_those_of_the_rule_as_bert_states_it(size: int, stride: int) -> None:
    for n in range(1, 40):
        windows = cut_windows(n, size, stride)
        runs = judged_pieces(windows)
        for piece in range(n):
            scores = [
                min(piece - w.start, w.end - 1 - piece) + 0.01 * (w.end - w.start) if w.start <= piece < w.end else -1
                for w in windows
            ]
            assert [i for i, run in enumerate(runs) if run.start <= piece < run.end] == [scores.index(max(scores))]
