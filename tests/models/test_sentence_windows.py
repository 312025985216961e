from __future__ import annotations

from itertools import pairwise

import numpy as np

from models.sentence_windows import best_windows, cut_windows


def test_a_short_document_is_one_window() -> None:
    assert cut_windows([4, 4, 4], size=12, stride=6) == [(0, 3)]
    assert best_windows([4, 4, 4], [(0, 3)]) == [0, 0, 0]


def test_windows_overlap_and_hold_whole_sentences() -> None:
    """Sentences begin at 0 4 8 12 16 20: of 12 positions, three fit; 6 behind the start begins the sentence at 8."""
    windows = cut_windows([4] * 6, size=12, stride=6)
    assert windows == [(0, 3), (2, 5), (4, 6)]


def test_a_sentence_is_read_where_most_stands_around_it() -> None:
    """Sentence 2 ends the first window (8 before it, 0 behind) and begins the second (0 before, 8 behind): the first.
    Sentence 4 ends the second (8, 0) and begins the third (0, 4): nothing on one side of both, more in the second."""
    assert best_windows([4] * 6, cut_windows([4] * 6, size=12, stride=6)) == [0, 0, 0, 1, 1, 2]


def test_context_on_both_sides_beats_more_on_one() -> None:
    assert best_windows([9, 1, 5, 5], [(0, 2), (0, 3), (1, 4)])[1] == 1


def test_any_document_is_covered() -> None:
    draw = np.random.default_rng(0)
    for _ in range(200):
        lengths = draw.integers(1, 20, size=draw.integers(1, 60)).tolist()
        size, stride = int(draw.integers(20, 60)), int(draw.integers(1, 60))
        windows = cut_windows(lengths, size, min(stride, size))
        assert windows[0].first == 0
        assert windows[-1].end == len(lengths)
        assert all(sum(lengths[first:end]) <= size for first, end in windows)
        assert all(a.first < b.first <= a.end < b.end for a, b in pairwise(windows))
        read_in = [windows[w] for w in best_windows(lengths, windows)]
        assert all(first <= s < end for s, (first, end) in enumerate(read_in))
