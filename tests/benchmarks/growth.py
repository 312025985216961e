"""10, 100 and 1,000 videos through the graph on cached features: what a video costs, and what memory that takes.

    python tests/benchmarks/growth.py [--videos 10 100 1000] [--workers 2]

Features of 200 clips a video (5 minutes) are drawn, written as .npy files with captions in one JSON file, and go
through every stage after EmbedClips. Training takes a fixed number of steps. Each size runs in a
process of its own. Memory is what that process and its workers hold at most while a node is made, without the pages of
mapped files, which the system takes back when it needs them (RssAnon of /proc: Linux only).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from own_process import run_again

from models.small_bert import small_bert
from models.tasks import VideoText
from pipeline import Graph, LocalExecutor, Store, run
from pipeline.store import MANIFEST
from stages.train import Train
from stages.video.read_features import ReadFeatures
from stages.video.transcribe import Transcribe
from workflows.videobert import learn

CLIPS = 200
CLIP_S = 1.5
SAMPLE_S = 0.02
"""Seconds between two looks at the memory."""
VERBS = ("cut", "stir", "pour", "fry", "peel", "wash")
OBJECTS = ("onion", "carrot", "potato", "apple")
LABELLED_S = 60.0
"""Seconds of a labelled segment."""


def graph(folder: Path) -> Graph:
    g = Graph()
    g.add("features", ReadFeatures(features=str(folder / "features"), features_per_s=1 / CLIP_S))
    train = Train(task=VideoText(), steps=20, global_batch_size=32, evaluate_every=20)
    speech = Transcribe(captions_json=str(folder / "captions.json"))
    learn(g, train, small_bert(), speech=speech, labels=str(folder / "labels.csv"))
    g.replace("evaluate", split="dev")
    return g


def prepare(folder: Path, videos: int) -> None:
    """Clips scattered around 500 centres, so that a clip's neighbours in time look alike; two labels a video."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(500, 1024)).astype(np.float32)
    (folder / "features").mkdir()
    captions = {}
    labels = ["video_id,start_s,end_s,verb,object"]
    for v in range(videos):
        scene = np.repeat(rng.integers(500, size=CLIPS // 4), 4)
        features = centres[scene] + 0.3 * rng.normal(size=(CLIPS, 1024)).astype(np.float32)
        np.save(folder / "features" / f"video{v:05d}.npy", features.astype(np.float16))
        starts = np.arange(0, CLIPS * CLIP_S, 6.0)
        text = [f"now {VERBS[i]} the onion slowly and wait." for i in rng.integers(len(VERBS), size=len(starts))]
        for begin in (0.0, 120.0):
            names = VERBS[rng.integers(len(VERBS))], OBJECTS[rng.integers(len(OBJECTS))]
            labels.append(",".join([f"video{v:05d}", str(begin), str(begin + LABELLED_S), *names]))
        captions[f"video{v:05d}"] = {"start": starts.tolist(), "end": (starts + 5.5).tolist(), "text": text}
    (folder / "captions.json").write_text(json.dumps(captions))
    (folder / "labels.csv").write_text("\n".join(labels) + "\n")


def measure(folder: Path, videos: int, workers: int) -> dict[str, object]:
    samples: list[tuple[float, float]] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_S):
            samples.append((time.time(), sum(map(anonymous_mib, processes(os.getpid())))))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    with LocalExecutor(workers=workers) as executor:
        artifacts = run(graph(folder), Store(folder / "store"), executor)
    ended.set()
    watcher.join()
    seconds = {name: artifact.manifest["seconds"] for name, artifact in artifacts.items()}
    ends = {name: (artifact.path / MANIFEST).stat().st_mtime for name, artifact in artifacts.items()}
    held = {n: max((mib for at, mib in samples if ends[n] - seconds[n] <= at <= ends[n]), default=0.0) for n in ends}
    return {"videos": videos, "mib": held, "seconds": seconds}


def processes(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in children.read_text().split():
                yield from processes(int(child))


def anonymous_mib(pid: int) -> float:
    """Memory of a process that no file backs; 0 for one that has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.folder:
        print(json.dumps(measure(arguments.folder, arguments.videos[0], arguments.workers)))
        return
    results = []
    for videos in arguments.videos:
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder), videos)
            results.append(run_again("--folder", folder, "--videos", str(videos)))
    print(f"{'videos':24}" + "".join(f"{r['videos']:>12,}" for r in results))
    for name in results[0]["seconds"]:
        each = (1e3 * r["seconds"][name] / r["videos"] for r in results)
        print(f"{name + ', ms a video':24}" + "".join(f"{ms:12,.1f}" for ms in each))
    for name in results[0]["mib"]:
        print(f"{name + ', MiB':24}" + "".join(f"{r['mib'][name]:12,.0f}" for r in results))


if __name__ == "__main__":
    main()
