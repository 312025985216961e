"""The picture of a training run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

RATE = "learning_rate"
"""The name of the learning rate among what is measured on the train split."""


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
    figure, axes = plt.subplots(1, 2 if shares else 1, figsize=(12 if shares else 6, 4), squeeze=False)
    for name, points in losses.items():
        steps, values = np.array(points).T
        width = max(1, len(values) // 50)
        smooth = np.convolve(values, np.ones(width) / width, "valid")
        axes[0, 0].plot(steps[width - 1 :], smooth, label=name, color="black" if name == "loss" else None)
    axes[0, 0].set(title="training loss", xlabel="step", ylim=(0, None))
    axes[0, 0].legend(fontsize="small")
    if shares:
        for name, points in shares.items():
            axes[0, 1].plot(*np.array(points).T, marker=".", label=name)
        axes[0, 1].set(title="dev split", xlabel="step", ylim=(0, 1))
        axes[0, 1].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, format="png", dpi=110, metadata={"Software": None})
    plt.close(figure)
