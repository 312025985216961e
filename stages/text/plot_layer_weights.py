"""Which layers of the encoder each of a parser's tasks reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

import models  # noqa: F401 - transformers imports torchvision, which needs this first
from pipeline import Artifact, Executor, Stage, UserError
from pipeline.store import write_atomically, write_part

TITLES = {"upos": "UPOS", "feats": "UFeats", "lemmas": "Lemmas", "dependencies": "dependencies"}
PICTURE = "layer_weights.png"


@dataclass(frozen=True, kw_only=True)
class PlotLayerWeights(Stage):
    """Draw the weights that a trained UDify gives to the encoder's layers (Kondratyuk and Straka 2019, figure 2).

    In   model: what Train wrote for ParseDependencies
    Out  task str, layer int32 (from 1), weight float64 (of a task they add up to 1); layer_weights.png
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"model": ()}
    writes: ClassVar[pa.Schema] = pa.schema([("task", pa.string()), ("layer", pa.int32()), ("weight", pa.float64())])

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any] | None:
        from models.encoder import TaskModel
        from models.parser_head import ParserHead

        head = TaskModel.load(inputs["model"].path).head
        if not isinstance(head, ParserHead):
            raise UserError(f"{inputs['model'].path}: not a dependency parser, it has no weights of layers")
        shares = head.layer_shares()
        rows = [
            {"task": task, "layer": layer, "weight": weight}
            for task, weights in shares.items()
            for layer, weight in enumerate(weights, 1)
        ]
        write_part(out / "part-00000.parquet", pa.Table.from_pylist(rows, self.writes))
        with write_atomically(out / PICTURE) as temporary:
            draw(shares, temporary)
        return {"weights": shares}


def draw(shares: Mapping[str, list[float]], path: Path) -> None:
    """A line a task: the share of every layer."""
    from matplotlib.figure import Figure

    n_layers = len(next(iter(shares.values())))
    figure = Figure(figsize=(max(5.0, 0.5 * n_layers), 3.6), layout="constrained")
    axes = figure.subplots()
    for (task, weights), marker in zip(shares.items(), "osD^", strict=False):
        axes.plot(range(1, n_layers + 1), weights, marker=marker, label=TITLES.get(task, task))
    axes.axhline(1 / n_layers, color="0.6", linewidth=1, linestyle=":", label="all alike")
    axes.set(xlabel="layer", ylabel="weight", xticks=range(1, n_layers + 1), ylim=(0, None))
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, ncols=2)
    figure.savefig(path, dpi=150, format="png")
