from __future__ import annotations

import pytest

from pipeline import UserError
from stages.selection import Selection


def test_the_best_is_the_first_of_the_highest() -> None:
    selection = Selection("accuracy", patience=2)
    values = [0.5, 0.7, 0.7, 0.6]
    assert [selection.better(10 * i, {"accuracy": v}) for i, v in enumerate(values)] == [True, True, False, False]
    assert (selection.step, selection.value, selection.worse) == (10, 0.7, 2)
    assert selection.over


def test_with_a_minus_less_is_better() -> None:
    selection = Selection("-perplexity", patience=None)
    assert [selection.better(i, {"perplexity": v}) for i, v in enumerate((9.0, 4.0, 5.0))] == [True, True, False]
    assert not selection.over


def test_a_figure_that_is_no_number_is_never_better() -> None:
    selection = Selection("f1", patience=1)
    selection.better(1, {"f1": float("nan")})
    assert selection.better(2, {"f1": 0.1})
    assert not selection.better(3, {"f1": float("nan")})
    assert selection.over


def test_without_a_figure_nothing_is_selected() -> None:
    selection = Selection(None, None)
    assert not selection.better(1, {"f1": 0.1})
    assert not selection.over


def test_a_missing_figure_is_said_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"no figure 'f1' \(it has accuracy, loss\)"):
        Selection("f1", None).better(1, {"accuracy": 1.0, "loss": 0.0})


def test_it_goes_on_where_it_stopped() -> None:
    before = Selection("f1", patience=3)
    for step, value in enumerate((0.2, 0.4, 0.3)):
        before.better(step, {"f1": value})
    after = Selection("f1", patience=3)
    after.load_state(before.state())
    assert after == before
