"""A long context cut into overlapping windows, and in which of them a piece is judged: BERT's rules for SQuAD."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple


class Window(NamedTuple):
    """Pieces [start, end) of a context."""

    start: int
    end: int


def cut_windows(n: int, size: int, stride: int) -> list[Window]:
    """Windows over ``n`` pieces: each of ``size`` or what is left, ``stride`` (or ``size``) after the one before."""
    windows = []
    for start in range(0, n, min(stride, size)):
        windows.append(Window(start, min(start + size, n)))
        if start + size >= n:
            break
    return windows


def judged_pieces(windows: list[Window]) -> list[Window]:
    """For each window the pieces that it, of all windows, shows with the most context: neighbouring, disjoint runs.

    A piece's context in a window is the smaller of what lies left and right of it, plus a hundredth of the window's
    length; of equal ones the first window's counts.
    """
    runs = []
    start = 0
    for window, after in pairwise(windows):
        end = start
        while end < window.end and (end < after.start or _context(end, window) >= _context(end, after)):
            end += 1
        runs.append(Window(start, end))
        start = end
    return [*runs, Window(start, windows[-1].end)] if windows else []


def _context(piece: int, window: Window) -> float:
    return min(piece - window.start, window.end - 1 - piece) + 0.01 * (window.end - window.start)
