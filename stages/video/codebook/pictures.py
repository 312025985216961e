"""A codebook to look at: how branching and depth are chosen (Sun et al. 2019, section 4.2)."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch

from models.codebook import Codebook, Grouped, token_path
from models.points import CHUNK, Points
from pipeline.store import part_schema, read_part, write_atomically
from stages.video.codebook.vectors import ClipRows

LEAVES = 16
CLIPS = 6
CELL = 112
"""Pixels of a clip's side."""
LABEL = 120
"""Pixels of the column with the leaves' names."""


def draw_clips(codebook: Codebook, tree: Grouped, rows: ClipRows, path: Path) -> None:
    """A sheet of the clips nearest to the centroids of the most frequent leaves, a leaf a line.

    ``tree``: the vectors of ``rows`` by leaf. Draws nothing where the features have no thumbnails.
    """
    from PIL import Image, ImageDraw

    if any("thumbnail" not in part_schema(part).names for part in rows.parts):
        return
    frequent = np.argsort(-codebook.counts[-1], kind="stable")[:LEAVES].tolist()
    points = dict(tree.nodes())
    leaves = {leaf: _nearest_rows(points[leaf], codebook, leaf) for leaf in frequent if leaf in points}
    thumbnails = _thumbnails(rows, [index for indices in leaves.values() for index in indices])
    if not thumbnails:
        return
    sheet = Image.new("RGB", (LABEL + CLIPS * CELL, len(leaves) * CELL), "white")
    draw = ImageDraw.Draw(sheet)
    for line, (leaf, indices) in enumerate(leaves.items()):
        digits = ".".join(map(str, token_path(leaf, codebook.branching, codebook.depth)))
        draw.text((6, line * CELL + 6), f"<v:{digits}>\n{codebook.counts[-1][leaf]:,} clips", "black")
        for column, index in enumerate(indices):
            if index in thumbnails:
                picture = Image.open(io.BytesIO(thumbnails[index])).convert("RGB")
                picture.thumbnail((CELL, CELL))
                sheet.paste(picture, (LABEL + column * CELL, line * CELL))
    with write_atomically(path) as temporary:
        sheet.save(temporary, "PNG")


def draw_figures(codebook: Codebook, path: Path) -> None:
    """The error by level, and how often each token occurs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    error, tokens = figure.subplots(1, 2)
    levels = range(1, codebook.depth + 1)
    error.plot(levels, codebook.errors, "o-")
    error.set(xlabel="level", ylabel="mean squared distance", xticks=levels, ylim=(0, None), title="quantisation error")
    live = np.sort(codebook.counts[-1][~codebook.dead])[::-1]
    tokens.loglog(np.arange(1, len(live) + 1), live)
    tokens.set(xlabel="rank", ylabel="clips", title=f"tokens: {len(live):,} of {len(codebook.dead):,} live")
    with write_atomically(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _nearest_rows(points: Points, codebook: Codebook, leaf: int) -> list[int]:
    """Indices of the vectors nearest to the leaf's centroid, nearest first."""
    centroid = torch.from_numpy(codebook.leaves()[leaf])
    distances = torch.empty(len(points))  # a list of small ones would keep the large ones apart
    for start in range(0, len(points), CHUNK):
        distances[start : start + CHUNK] = (points[start : start + CHUNK] - centroid).square().sum(1)
    nearest = distances.sort(stable=True).indices[:CLIPS]
    return (nearest if points.rows is None else points.rows[nearest]).tolist()


def _thumbnails(rows: ClipRows, indices: list[int]) -> dict[int, bytes]:
    """The JPEGs of those rows that have one."""
    by_part: dict[int, dict[int, int]] = {}
    for index in indices:
        part, row = rows.locate(index)
        by_part.setdefault(part, {})[index] = row
    found: dict[int, bytes] = {}
    for part, places in by_part.items():
        column = read_part(rows.parts[part], ["thumbnail"])["thumbnail"]
        found |= {index: column[row].as_py() for index, row in places.items() if column[row].is_valid}
    return found
