"""What is measured over a training run, and its picture."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

RATE = "learning_rate"
"""The name of the learning rate among what is measured on the train split."""


class LossCurve:
    """Values by step, split and name, in twenty bytes each: a long run measures millions."""

    schema = pa.schema([("step", pa.int32()), ("split", pa.string()), ("name", pa.string()), ("value", pa.float64())])

    def __init__(self) -> None:
        self._names: list[tuple[str, str]] = []
        self._which, self._steps, self._values = array("i"), array("q"), array("d")

    def add(self, step: int, split: str, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            if (split, name) not in self._names:
                self._names.append((split, name))
            self._which.append(self._names.index((split, name)))
            self._steps.append(step)
            self._values.append(value)

    @property
    def last_step(self) -> int:
        return self._steps[-1]

    def at(self, step: int, split: str) -> dict[str, float]:
        """What was measured on a split after a step."""
        rows = np.flatnonzero(np.array(self._steps) == step)
        found = [(*self._names[self._which[i]], self._values[i]) for i in rows]
        return {name: value for of, name, value in found if of == split}

    def table(self) -> pa.Table:
        splits, names = (np.array(column, object) for column in zip(*self._names, strict=True))
        which = np.array(self._which)
        return pa.table(
            [np.array(self._steps), splits[which], names[which], np.array(self._values)], schema=self.schema
        )

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        columns = {"which": self._which, "steps": self._steps, "values": self._values}
        return {"names": self._names, **{n: torch.from_numpy(np.array(column)) for n, column in columns.items()}}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self._names = [(split, name) for split, name in state["names"]]
        self._which = array("i", state["which"].tolist())
        self._steps, self._values = array("q", state["steps"].tolist()), array("d", state["values"].tolist())


def draw_loss_curve(curve: pa.Table, path: Path) -> None:
    """Draw rows of (step, split, name, value) as a PNG: the parts of the loss, and the dev split's accuracies."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    series: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for row in curve.to_pylist():
        series.setdefault((row["split"], row["name"]), []).append((row["step"], row["value"]))
    losses = {name: points for (split, name), points in series.items() if split == "train" and name != RATE}
    shares = {name: p for (split, name), p in series.items() if split == "dev" and max(v for _, v in p) <= 1}
    colours = {name: f"C{i}" for i, name in enumerate(n for n in losses if n != "loss")} | {"loss": "black"}
    figure, axes = plt.subplots(1, 2 if shares else 1, figsize=(12 if shares else 6, 4), squeeze=False)
    for name, points in losses.items():
        steps, values = np.array(points).T
        width = max(1, len(values) // 50)
        smooth = np.convolve(values, np.ones(width) / width, "valid")
        axes[0, 0].plot(steps[width - 1 :], smooth, label=name, color=colours[name])
    axes[0, 0].set(title="training loss", xlabel="step", ylim=(0, None))
    axes[0, 0].legend(fontsize="small")
    if shares:
        for i, (name, points) in enumerate(shares.items()):
            colour = colours.get(name.removesuffix("_accuracy"), f"C{len(losses) + i}")
            axes[0, 1].plot(*np.array(points).T, marker=".", label=name, color=colour)
        axes[0, 1].set(title="dev split", xlabel="step", ylim=(0, 1))
        axes[0, 1].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, format="png", dpi=110, metadata={"Software": None})
    plt.close(figure)
