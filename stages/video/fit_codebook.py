"""Clip features become a tree of visual words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from models.codebook import FILE, Codebook, Grouped, unit_length
from models.kmeans import KMeans
from models.refine import refine
from models.threads import Threads, thread_pool
from models.tree import TreeFit
from pipeline import Artifact, Executor, Stage, UserError
from pipeline.progress import Counter, counting, say
from pipeline.store import write_atomically
from stages.video.codebook.pictures import draw_clips, draw_figures
from stages.video.codebook.vectors import ClipRows, mapped_vectors

UNFINISHED = "unfinished.safetensors"
"""The codebook's finished levels, while deeper ones are fit."""


@dataclass(frozen=True, kw_only=True)
class FitCodebook(Stage):
    """Cluster clip features into a tree of visual words by hierarchical k-means.

    In   features: video_id str, feature fixed_size_list<float16>[width]; thumbnail binary (JPEG), drawn where there
         splits (optional): video_id str, split str; only "train" videos are clustered. The paper clusters all
    Out  codebook.safetensors, for each level L = 1 ... depth: centroids.L float32 [branching^L, width], counts.L int64
         and dead.L bool [branching^L]; errors float64 [depth], the mean squared distance to the level's centroids;
         unit_length bool.
         counts.4 is the histogram of tokens. codebook.png shows it, clips.png clips of the most frequent leaves.

    Sun et al. 2019, section 4.2: depth 4 and branching 12 were chosen by looking at the clusters. The tree is fit from
    the root down, each node on all its vectors; a node's seed comes from its place in the tree, so the same features
    and fields give the same bytes with any number of workers and threads. The work is done in one process, by as many
    threads as torch has there, on a copy of the features in ``out`` that is deleted at the end.
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "features": ("video_id", "feature"),
        "splits": ("video_id", "split"),
    }
    optional: ClassVar[frozenset[str]] = frozenset({"splits"})

    branching: int = 12
    """Children of a node."""
    depth: int = 4
    """Levels below the root; branching ** depth visual words, at most 65,536."""
    min_points: int = 100
    """A node with fewer vectors is not split: it goes on as its own child 0. A small corpus then has fewer words, of
    some twenty clips each, which tell as much as many rare ones and are learned sooner."""
    restarts: int = 5
    """Starts of k-means on a node's sample, of which the best goes on over all its vectors."""
    iterations: int = 25
    """Most steps of Lloyd's algorithm, on the sample and again on all vectors."""
    tolerance: float = 1e-4
    """A node is done when a step lowers its error by less than this part of its vectors' variance."""
    sample_per_centroid: int = 64
    """Vectors of a node's sample, for each child. A start costs time and memory by the square of the sample."""
    refine: int = 0
    """Steps of flat k-means over all leaves at the end: less error when tokens are assigned flat, but the tree no
    longer leads to the nearest leaf as well. 0, the paper's way, keeps the tree."""
    unit_length: bool = False
    """Divide features by their lengths before. The paper does not; with features whose lengths differ more than their
    directions (those of an untrained network do) the words otherwise tell little but the length."""
    seed: int = 0
    """Seeds samples and starts."""

    def __post_init__(self) -> None:
        least = {"branching": 2, "depth": 1, "min_points": 1, "restarts": 1, "iterations": 1, "tolerance": 0}
        for name, bound in (least | {"sample_per_centroid": 1, "refine": 0, "seed": 0}).items():
            if not getattr(self, name) >= bound:
                raise UserError(f"{name} must be at least {bound}, not {getattr(self, name)}")
        if self.branching**self.depth > 2**16:
            raise UserError(f"{self.branching}^{self.depth} visual words: a token has 16 bits, so at most 65,536")
        if self.branching > 256:
            raise UserError(f"branching must be at most 256, not {self.branching}: use more depth")

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any]:
        rows = ClipRows.of(inputs["features"].parts, _training_videos(inputs.get("splits")))
        passes = 1 + self.depth + (self.refine + 1 if self.refine else 0)
        with counting(out.name, len(rows) * passes, "vectors") as counter, thread_pool() as threads:
            counter.advance(0, "reading features")
            scaled = unit_length if self.unit_length else np.asarray
            with mapped_vectors(rows, out, threads.map, counter.advance, scaled) as vectors:
                codebook, tree = self._fit(vectors, out / UNFINISHED, threads, counter)
                if self.refine:
                    codebook, tree = refine(codebook, vectors, self.refine, counter.advance)
                draw_clips(codebook, tree, rows, out / "clips.png")
        draw_figures(codebook, out / "codebook.png")
        with write_atomically(out / FILE) as temporary:
            replace(codebook, unit_length=self.unit_length).save(temporary)
        (out / UNFINISHED).unlink(missing_ok=True)
        live = int((~codebook.dead).sum())
        if live < self.branching:
            say(f"{len(rows)} clips make {live} visual words, too few to learn from: add videos or lower min_points")
        return {
            "vectors": len(rows),
            "width": codebook.width,
            "words": {"all": len(codebook.dead), "live": live},
            "squared_errors": list(codebook.errors),
        }

    def _fit(
        self, vectors: torch.Tensor, unfinished: Path, threads: Threads, counter: Counter
    ) -> tuple[Codebook, Grouped]:
        """The codebook, and the vectors by leaf. Finished levels are kept for a run that goes on after this one."""
        kmeans = KMeans(self.restarts, self.iterations, self.tolerance, self.sample_per_centroid)
        fit = TreeFit(self.branching, self.depth, self.min_points, self.seed, kmeans, threads, counter.advance)
        start = Codebook.load(unfinished) if unfinished.is_file() else Codebook((), (), ())
        grown = start, Grouped.all(vectors)
        for grown in fit.levels(vectors, start):
            if start.depth < grown[0].depth and (grown[0].depth < self.depth or self.refine):
                with write_atomically(unfinished) as temporary:
                    grown[0].save(temporary)
        return grown


def _training_videos(splits: Artifact | None) -> pa.Array | None:
    if splits is None:
        return None
    table = splits.read(["video_id", "split"])
    return table.filter(pc.equal(table["split"], "train"))["video_id"].combine_chunks()
