"""Progress of long work: a bar with items/s and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

CONSOLE = Console(stderr=True, highlight=False)
LINE_EVERY_S = 10.0
_TITLE = ContextVar("title", default="map")


class Counter:
    """Counts items towards ``total``. Safe to call from several threads."""

    def __init__(self, name: str, total: int, unit: str, done: int = 0) -> None:
        self.name, self.total, self.unit, self.done = name, total, unit, done
        self.note = ""
        self._start = time.perf_counter()
        self._first = done
        self._lock = threading.Lock()
        self._last_line = self._start
        self._bar: Progress | None = None

    def advance(self, n: int = 1, note: str | None = None) -> None:
        """Count ``n`` more; ``note`` replaces the words after the figures (a loss, a pass)."""
        with self._lock:
            self.done += n
            if note is not None:
                self.note = note
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], completed=self.done, rate=self._rate(), note=self.note)
            elif time.perf_counter() - self._last_line >= LINE_EVERY_S:
                self._last_line = time.perf_counter()
                say(self._line())

    def _rate(self) -> str:
        rate = (self.done - self._first) / max(time.perf_counter() - self._start, 1e-9)
        return f"{rate:,.1f} {self.unit}/s" if rate >= 1 or rate == 0 else f"{1 / rate:,.1f} s per {self.unit[:-1]}"

    def _line(self) -> str:
        fraction = self.done / self.total if self.total else 1.0
        new = self.done - self._first
        elapsed = time.perf_counter() - self._start
        left = f", {(self.total - self.done) * elapsed / new:,.0f} s left" if new > 0 else ""
        note = f", {self.note}" if self.note else ""
        return f"{self.name}: {self.done:,}/{self.total:,} {self.unit} ({fraction:.0%}), {self._rate()}{left}{note}"


@contextmanager
def counting(name: str, total: int, unit: str = "items", done: int = 0) -> Iterator[Counter]:
    """A Counter shown while the block runs; ``done`` items were finished before."""
    counter = Counter(name, total, unit, done)
    if not CONSOLE.is_terminal:
        yield counter
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=CONSOLE, transient=True) as bar:
        bar.add_task(name, total=total, completed=done, rate="", note="")
        counter._bar = bar
        yield counter


@contextmanager
def titled(title: str) -> Iterator[None]:
    """What ``current_title`` says while the block runs: the node or stage that is at work."""
    token = _TITLE.set(title)
    try:
        yield
    finally:
        _TITLE.reset(token)


def current_title() -> str:
    return _TITLE.get()


def say(text: str) -> None:
    """One plain line beside the progress bars."""
    CONSOLE.print(text, markup=False, soft_wrap=True)
