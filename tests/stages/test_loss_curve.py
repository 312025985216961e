from __future__ import annotations

import io
from pathlib import Path

import torch

from stages.loss_curve import RATE, LossCurve, draw_loss_curve


def curve() -> LossCurve:
    curve = LossCurve()
    for step in (1, 2, 3):
        curve.add(step, "train", {"loss": 1 / step, RATE: 1e-4 * step})
    curve.add(3, "dev", {"accuracy": 0.5, "loss": 0.7})
    return curve


def test_values_are_rows_in_the_order_they_came() -> None:
    rows = curve().table().to_pylist()
    assert [(r["step"], r["split"], r["name"]) for r in rows[-3:]] == [
        (3, "train", RATE),
        (3, "dev", "accuracy"),
        (3, "dev", "loss"),
    ]
    assert [r["value"] for r in rows if (r["split"], r["name"]) == ("train", "loss")] == [1, 1 / 2, 1 / 3]
    assert curve().table().schema == LossCurve.schema


def test_a_step_of_a_split_is_found_again() -> None:
    assert curve().at(3, "dev") == {"accuracy": 0.5, "loss": 0.7}
    assert curve().at(2, "dev") == {}
    assert curve().last_step == 3


def test_it_goes_on_from_a_checkpoint() -> None:
    file = io.BytesIO()
    torch.save(curve().state(), file)
    file.seek(0)
    again = LossCurve()
    again.load_state(torch.load(file, weights_only=True))
    whole = curve()
    for one in (whole, again):
        one.add(4, "train", {"loss": 0.25, "another": 9.0})
    assert again.table() == whole.table()


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    draw_loss_curve(curve().table(), tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes()[1:4] == b"PNG"
