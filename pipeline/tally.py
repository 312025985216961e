"""A map as the driver sees it: what is done, what is to do, progress, and whether too much goes wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.errors import StageFailed
from pipeline.executor import MapReport
from pipeline.parts import Part
from pipeline.progress import Counter, counting, current_title, say
from pipeline.store import part_metadata, part_rows, read_part


def run_map(parts: Sequence[Part], max_error_rate: float, run_parts: Callable[[list[Part], Tally], None]) -> MapReport:
    """The frame of every executor's ``map``: skip what is done, run the rest, count, and judge the errors.

    Where the parts that an earlier run left have too many errors already, their items with errors are run again.
    """
    started = time.perf_counter()
    tally = Tally(max_error_rate)
    to_do = []
    for part in parts:
        if part.path.is_file():
            tally.count(part)
        else:
            to_do.append(part)
            tally.expect(part, _most_items(part))
    if tally.excess():
        again = [replace(part, again=True) for part in tally.with_errors.values()]
        for part in again:
            tally.expect(part, tally.count(part, -1))
        to_do = sorted([*to_do, *again], key=lambda part: part.index)
    if to_do:
        total, left = (sum(_input_rows(p)[0] for p in some) for some in (parts, to_do))
        with counting(current_title(), total, "rows", done=total - left) as tally.counter:
            run_parts(to_do, tally)
    return replace(
        tally.report, parts=len(parts), skipped=len(parts) - len(to_do), seconds=time.perf_counter() - started
    )


class Tally:
    """What the finished parts of a map hold, judged by ``max_error_rate`` whenever one is added, from any thread."""

    def __init__(self, max_error_rate: float) -> None:
        self.report = MapReport()
        self.with_errors: dict[int, Part] = {}
        self.counter: Counter | None = None
        self._max_error_rate = max_error_rate
        self._failed = 0
        self._expected: dict[int, int] = {}
        self._to_come = 0
        self._said = False
        self._title = current_title()  # which the threads that feed workers do not know
        self._lock = threading.Lock()

    def hear(self, event: int | str) -> None:
        """Show what ``map_part`` yields: progress, and of what there is to say the first."""
        if isinstance(event, int):
            if self.counter is not None:
                self.counter.advance(event)
            return
        with self._lock:
            said, self._said = self._said, True
        if not said:
            say(f"{self._title}: {event}")

    def expect(self, part: Part, items: int) -> None:
        """A part is to be made, of so many items at most."""
        self._expected[part.index] = items
        self._to_come += items

    def add(self, part: Part) -> None:
        """Count a part that was made. StageFailed where there are too many errors, whatever is to come."""
        with self._lock:
            self._to_come -= self._expected.pop(part.index)
            self.count(part)
            if excess := self.excess():
                raise StageFailed(excess)

    def count(self, part: Part, times: int = 1) -> int:
        """Count a part that is there, or with -1 no more. Returns its items."""
        counts = part_metadata(part.path)
        items = int(counts[b"items"])
        self.report.rows += times * part_rows(part.path)
        self.report.items += times * items
        self._failed += times * int(counts[b"failed"])
        if part.errors_path.is_file():
            self.with_errors[part.index] = part
            self.report.errors += times * part_rows(part.errors_path)
        return items

    def excess(self) -> str | None:
        """What there is too much of; None as long as the parts to come may make up for it."""
        items, rejected = self.report.items + self._to_come, self.report.errors - self._failed
        if self._failed > self._max_error_rate * items:
            what = f"{self._failed} of {'at most ' if self._expected else ''}{items} items failed"
        elif not self._expected and rejected > self._max_error_rate * (self.report.rows + rejected):
            what = f"{rejected} of {self.report.rows + rejected} rows were rejected"
        else:
            return None
        files = [part.errors_path for _, part in sorted(self.with_errors.items())]
        errors = [e for file in files[:3] for e in read_part(file).slice(0, 3).to_pylist()]
        first = "; ".join(f"{e['item']}: {e['reason']}" for e in errors[:3])
        return (
            f"{what}, more than max_error_rate = {self._max_error_rate:g} allows. The first: {first} "
            f"(all so far: {files[0].parent}; running again tries these again and keeps the rest)"
        )


def _input_rows(part: Part) -> list[int]:
    return [part_rows(i) if isinstance(i, Path) else i.num_rows for i in part.inputs]


def _most_items(part: Part) -> int:
    """How many items a part may be cut into; which rows belong together shows when it is read."""
    if part.is_one_item:
        return 1
    rows = _input_rows(part)
    return rows[0] if part.by is None else sum(rows)
