"""Documents longer than an encoder's positions: windows of whole sentences, and which window a sentence is read in."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple


class Window(NamedTuple):
    """Sentences [first, end) of a document."""

    first: int
    end: int


def cut_windows(lengths: Sequence[int], size: int, stride: int) -> list[Window]:
    """Windows that cover sentences of ``lengths`` tokens in order, each as many as fit into ``size`` tokens.

    A window begins with the first sentence that lies ``stride`` tokens or more behind the start of the window before
    and leaves room for a further sentence; none is left out. No length may be above ``size``.
    """
    starts = list(accumulate(lengths, initial=0))
    windows: list[Window] = []
    first = 0
    while first < len(lengths):
        end = first + 1
        while end < len(lengths) and starts[end + 1] - starts[first] <= size:
            end += 1
        windows.append(Window(first, end))
        if end == len(lengths):
            break
        # A window without a sentence of its own would show nothing new: the next one has to fit too.
        earliest = max(starts[first] + stride, starts[end + 1] - size)
        first = next(s for s in range(first + 1, end + 1) if s == end or starts[s] >= earliest)
    return windows


def best_windows(lengths: Sequence[int], windows: Sequence[Window]) -> list[int]:
    """For each sentence the window that shows most around it: tokens on the poorer side, then on both; then the first.

    The rule of SQuAD's overlapping windows (google-research/bert, ``_check_is_max_context``) for sentences.
    """
    starts = list(accumulate(lengths, initial=0))
    best: list[int] = []
    oldest = 0
    for sentence in range(len(lengths)):
        while windows[oldest][1] <= sentence:
            oldest += 1
        contexts = []
        for number in range(oldest, len(windows)):
            first, end = windows[number]
            if first > sentence:
                break
            left, right = starts[sentence] - starts[first], starts[end] - starts[sentence + 1]
            contexts.append((min(left, right), left + right, -number))
        best.append(-max(contexts)[2])
    return best
