"""Time stamps of a track that may jump, as times that do not."""

from __future__ import annotations

BACK_S = 1.0
"""Stamps this much before an earlier one are out of order, as some writers leave them, and no jump."""
GAP_S = 600.0
"""The longest hole in a track. A picture may stand for minutes where the frame rate varies (slides)."""


class SteadyClock:
    """Seconds after ``origin_s``, by default the first stamp, on a clock that goes on where the stamps jump.

    Stamps jump back by more than ``BACK_S`` where files were joined or a broadcast began anew, and ahead by more than
    ``GAP_S`` where they are damaged or another programme follows. What is stamped so follows what was before it, and
    from the second such stamp in a row on the stamps count from there; a single one is passed over.
    """

    def __init__(self, origin_s: float | None = None) -> None:
        self.jumped_s = 0.0
        """How far the stamps have jumped ahead in sum (back: below 0)."""
        self._origin_s = origin_s
        self._begin_s: float | None = None
        self._astray = False

    def __call__(self, stamp_s: float | None, end_s: float) -> float:
        """When what is stamped begins, never before what came before it, which ended at ``end_s``."""
        begin_s = end_s
        if stamp_s is not None:
            self._origin_s = stamp_s - end_s if self._origin_s is None else self._origin_s
            begin_s = stamp_s - self._origin_s - self.jumped_s
            jump_s = begin_s - end_s
            astray = self._begin_s is not None and not self._begin_s - BACK_S <= begin_s <= end_s + GAP_S
            if astray:
                begin_s = end_s
                self.jumped_s += jump_s if self._astray else 0
            self._astray = astray
        self._begin_s = begin_s if self._begin_s is None else max(self._begin_s, begin_s)
        return self._begin_s
