"""FitCodebook against faiss, a k-means a node, and against scikit-learn's flat mini-batch k-means.

    python tests/benchmarks/fit_codebook.py [--vectors 200000] [--threads 2] [--only FitCodebook ...]

Time, mean squared distance of a vector to its word, words in use and peak memory, each in a process of its own, on
float16 vectors drawn around three levels of centres. FitCodebook starts from Parquet files and ends with the codebook
written; the others have their vectors in memory as float32 before the clock starts. faiss gets all vectors of a node
(it samples otherwise), splits no node that FitCodebook would not split, and descends the tree in the end.
MiniBatchKMeans starts from random vectors, as k-means++ of 20,736 centres would take hours, and sees the vectors twice.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from own_process import run_again

from pipeline import Artifact, LocalExecutor
from pipeline.graph import make
from pipeline.store import MANIFEST, write_json, write_part
from stages.video.feature_table import feature_table
from stages.video.fit_codebook import FitCodebook

WIDTH = 1024
BRANCHING = FitCodebook.branching
DEPTH = FitCodebook.depth
WORDS = BRANCHING**DEPTH
MIN_POINTS = 24
"""Twice as many words as the stage would make of so few vectors; fewer, and nobody would have all 20,736."""
PART = 10_000


def draw(n: int, folder: Path) -> None:
    """Vectors as features and as one array."""
    rng = np.random.default_rng(0)
    centres = 2 * rng.normal(size=(1, WIDTH)).astype(np.float32)
    for spread in (1.0, 0.6, 0.36):
        centres = np.repeat(centres, BRANCHING, axis=0)
        centres += spread * rng.standard_normal(centres.shape, np.float32)
    shares = rng.dirichlet(np.full(len(centres), 2.0))
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float16, (n, WIDTH))
    for part, start in enumerate(range(0, n, PART)):
        chosen = rng.choice(len(centres), min(PART, n - start), p=shares)
        x = (centres[chosen] + 0.5 * rng.standard_normal((len(chosen), WIDTH), np.float32)).astype(np.float16)
        vectors[start : start + len(x)] = x
        write_part(folder / "features" / f"part-{part:05d}.parquet", feature_table(f"video{part}", x, 1.5))
    write_json(folder / "features" / MANIFEST, {"key": "features"})


def by_stage(folder: Path, threads: int, refine: int = 0) -> dict[str, float]:
    out = Artifact(folder / f"codebook-{refine}", "codebook")
    features = Artifact(folder / "features", "features")
    started = time.perf_counter()
    make(FitCodebook(min_points=MIN_POINTS, refine=refine), {"features": features}, out, LocalExecutor())
    seconds = time.perf_counter() - started
    manifest = out.manifest
    return {"seconds": seconds, "error": manifest["squared_errors"][-1], "words": manifest["words"]["live"]}


def by_faiss(folder: Path, threads: int, restarts: int = 1) -> dict[str, float]:
    import faiss

    faiss.omp_set_num_threads(threads)
    vectors = np.load(folder / "vectors.npy").astype(np.float32)
    started = time.perf_counter()
    nodes = [np.arange(len(vectors))]
    for _ in range(DEPTH):
        children: list[np.ndarray] = []
        error = 0.0
        for rows in nodes:
            x = vectors[rows]
            k = BRANCHING if len(rows) >= MIN_POINTS else 1
            kmeans = faiss.Kmeans(
                WIDTH, k, niter=25, nredo=restarts, max_points_per_centroid=len(vectors), min_points_per_centroid=1
            )
            kmeans.train(x)
            distances, nearest = kmeans.index.search(x, 1)
            error += float(distances.sum(dtype=np.float64))
            children += [rows[nearest[:, 0] == j] for j in range(k)]
        nodes = [rows for rows in children if len(rows)]
    return {"seconds": time.perf_counter() - started, "error": error / len(vectors), "words": len(nodes)}


def by_mini_batches(folder: Path, threads: int) -> dict[str, float]:
    from sklearn.cluster import MiniBatchKMeans

    vectors = np.load(folder / "vectors.npy").astype(np.float32)
    started = time.perf_counter()
    kmeans = MiniBatchKMeans(
        min(WORDS, len(vectors)), init="random", n_init=1, max_iter=2, batch_size=4096, max_no_improvement=None
    ).fit(vectors)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "error": kmeans.inertia_ / len(vectors), "words": len(np.unique(kmeans.labels_))}


WAYS: dict[str, Callable[[Path, int], dict[str, float]]] = {
    "FitCodebook": by_stage,
    "faiss a node": by_faiss,
    "faiss a node, 5 restarts": partial(by_faiss, restarts=FitCodebook.restarts),
    "FitCodebook, refine 1, flat": partial(by_stage, refine=1),
    "MiniBatchKMeans, flat": by_mini_batches,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=int, default=200_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", choices=tuple(WAYS), nargs="+", default=list(WAYS))
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        torch.set_num_threads(arguments.threads)
        result = WAYS[arguments.only[0]](arguments.folder, arguments.threads)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({**result, "peak": peak}))
        return
    print(f"{'':28}{'seconds':>10}{'error':>10}{'words':>10}{'peak MiB':>10}")
    threads = {name: str(arguments.threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    with tempfile.TemporaryDirectory() as folder:
        draw(arguments.vectors, Path(folder))
        for way in arguments.only:
            r = run_again("--folder", folder, "--only", way, environment=threads)
            print(f"{way:28}{r['seconds']:10,.1f}{r['error']:10,.2f}{r['words']:10,}{r['peak']:10,.0f}", flush=True)


if __name__ == "__main__":
    main()
