from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from pipeline import progress
from pipeline.progress import counting, current_title, titled


def test_where_output_is_no_terminal_there_are_plain_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    with counting("features", total=1000, unit="rows", done=200) as counter:
        counter.advance(50, note="loss 2.5")
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"features: 250/1,000 rows \(25%\), [\d,.]+ rows/s, [\d,]+ s left, loss 2.5", line)


def test_on_a_terminal_there_is_a_bar_with_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(progress, "CONSOLE", Console(file=screen, force_terminal=True, width=120))
    with counting("features", 10, "rows") as counter, counting("passes", 3, "passes"):
        counter.advance(4)
    shown = screen.getvalue()
    assert "4/10" in shown
    assert "rows/s" in shown
    assert re.search(r"\d:\d\d:\d\d|-:--:--", shown), "time left"
    assert "passes" in shown, "bars may be nested"


def test_a_slow_rate_is_told_in_seconds() -> None:
    counter = progress.Counter("videos", 10, "videos")
    counter._start -= 100
    counter.advance(2)
    assert "50.0 s per video, 400 s left" in counter._line()


def test_work_taken_back_after_a_death_does_not_break_the_rate() -> None:
    counter = progress.Counter("videos", 10, "videos")
    counter.advance(3)
    counter.advance(-3)
    assert counter._line() == "videos: 0/10 videos (0%), 0.0 videos/s"


def test_the_title_is_that_of_the_node_at_work() -> None:
    with titled("features"):
        assert current_title() == "features"
        with titled("tokens"):
            assert current_title() == "tokens"
        assert current_title() == "features"
