"""EmbedClips beside torchvision's S3D in eager float32, fed clip by clip by decord: from files to features.

    python tests/benchmarks/embed_clips.py [VIDEO ...] [--rounds 3]

Without videos, four of the kitchen are drawn (320 x 240, 20 frames a second). Weights are random, at the same cost. The
sides take turns, each in a warm process with all cores as its threads, and the best round counts; ours is once more
run by two workers that share the cores, loading of the network included. Beside it the network alone, on clips in
memory, as a share of the machine's rate of bfloat16 matrix products.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from models.folded_s3d import FoldedS3D
from models.precision import best_device, has_fast_bf16
from models.s3d import MEAN, STD, load_s3d
from pipeline import Artifact, LocalExecutor, Rejected
from pipeline.graph import make
from pipeline.store import write_part
from stages.video.decode import Sampling, read_clips
from stages.video.embed_clips import BATCH, EmbedClips, S3DEmbedder
from stages.video.render_kitchen import RenderKitchen

WEIGHTS = "random:0"
SAMPLING = Sampling()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="*", type=Path, metavar="VIDEO")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        videos = [str(v) for v in arguments.videos] or draw(Path(folder))
        theirs, ours = Theirs(), Ours()
        times: dict[str, list[float]] = {"theirs": [], "ours": []}
        counts: dict[str, int] = {}
        for _ in range(arguments.rounds + 1):  # the first is to warm up
            for name, side in (("theirs", theirs), ("ours", ours)):
                started = time.perf_counter()
                counts[name] = side(videos)
                times[name].append(time.perf_counter() - started)
        rates = {name: counts[name] / min(seconds[1:]) for name, seconds in times.items()}
        workers_rate = shared(videos, Path(folder))
    gflop = network_gflop()
    seconds = best(lambda: ours.network(ours.clips), arguments.rounds) / len(ours.clips)
    peak = matrix_gflop_s(ours.network.device, ours.network.dtype)
    print(f"{counts['ours']} clips of {len(videos)} videos; {os.cpu_count()} cores, {ours.network.device.type}")
    print(f"{'torchvision float32, decord':36}{rates['theirs']:8.2f} clips/s")
    print(f"{'EmbedClips':36}{rates['ours']:8.2f} clips/s{rates['ours'] / rates['theirs']:8.1f}x")
    print(f"{'EmbedClips, two workers, start too':36}{workers_rate:8.2f} clips/s{workers_rate / rates['theirs']:8.1f}x")
    print(f"{'decoding alone, one thread':36}{decoding_rate(videos):8.2f} clips/s")
    print(f"{'the network alone':36}{1 / seconds:8.2f} clips/s")
    rate = gflop / seconds
    products = f"{rate / peak:.0%} of {peak:,.0f} in matrix products"
    print(f"the network: {gflop:.1f} GFLOP a clip, {rate:,.0f} GFLOP/s, {products}")
    print(f"end to end: {gflop * rates['ours'] / peak:.0%}")


class Theirs:
    """What one would write in ten lines."""

    def __init__(self) -> None:
        self.network: Any = load_s3d(WEIGHTS)

    @torch.inference_mode()
    def __call__(self, videos: list[str]) -> int:
        import decord

        n_clips = 0
        for path in videos:
            try:
                height, width = decord.VideoReader(path)[0].shape[:2]
                scale = 224 / min(height, width)
                size = {"width": round(width * scale), "height": round(height * scale)}
                reader = decord.VideoReader(path, num_threads=torch.get_num_threads(), **size)
                begins_s = reader.get_frame_timestamp(range(len(reader)))[:, 0]
                ticks_s = np.arange(0, begins_s[-1], 1 / SAMPLING.fps)
                indices = np.searchsorted(begins_s, ticks_s + 1e-3, side="right") - 1
                top, left = (size["height"] - 224) // 2, (size["width"] - 224) // 2
                for start in range(0, len(indices) - SAMPLING.clip_frames + 1, SAMPLING.clip_frames):
                    frames = reader.get_batch(indices[start : start + SAMPLING.clip_frames]).asnumpy()
                    rgb = torch.from_numpy(frames[:, top : top + 224, left : left + 224]).float() / 255
                    rgb = (rgb - torch.tensor(MEAN)) / torch.tensor(STD)
                    self.network.avgpool(self.network.features(rgb.permute(3, 0, 1, 2)[None])).mean((2, 3, 4))
                    n_clips += 1
            except decord.DECORDError as error:
                print(f"{path}: {str(error).splitlines()[0][:100]}")
        return n_clips


class Ours:
    """The stage's mapper, as an executor drives it."""

    def __init__(self) -> None:
        self.mapper = S3DEmbedder(EmbedClips(weights=WEIGHTS))
        device = best_device()
        dtype = torch.bfloat16 if has_fast_bf16(device) else torch.float32
        self.network = FoldedS3D(load_s3d(WEIGHTS), device, dtype)
        self.clips = torch.randint(0, 256, (BATCH[device.type], 30, 224, 224, 3), dtype=torch.uint8)

    def __call__(self, videos: list[str]) -> int:
        rows = table(videos)
        items = [rows.slice(i, 1) for i in range(len(videos))]
        n_clips = 0
        self.mapper.prefetch(items[0])
        for i, item in enumerate(items):
            if i + 1 < len(items):
                self.mapper.prefetch(items[i + 1])
            result: pa.Table | tuple[pa.Table, list[Rejected]] = self.mapper(item)
            n_clips += (result[0] if isinstance(result, tuple) else result).num_rows
        return n_clips


def shared(videos: list[str], folder: Path) -> float:
    """Clips a second of the whole stage run by two workers."""
    videos = videos * 4
    for i in range(len(videos)):
        write_part(folder / f"videos/part-{i:05d}.parquet", table(videos).slice(i, 1))
    out = Artifact(folder / "features", "key")
    with LocalExecutor(workers=2) as executor:
        started = time.perf_counter()
        make(EmbedClips(weights=WEIGHTS), {"videos": Artifact(folder / "videos", "key")}, out, executor)
        return out.rows() / (time.perf_counter() - started)


def decoding_rate(videos: list[str]) -> float:
    n_clips = 0
    started = time.perf_counter()
    for path in videos:
        try:
            for _ in read_clips(path, SAMPLING):
                n_clips += 1
        except ValueError:
            continue
    return n_clips / (time.perf_counter() - started)


def table(videos: list[str]) -> pa.Table:
    return pa.table({"video_id": [f"{i} {v}" for i, v in enumerate(videos)], "path": videos})


def draw(folder: Path) -> list[str]:
    with LocalExecutor() as executor:
        make(
            RenderKitchen(train=4, dev=0, test=0, scenes=2, held_out=0),
            {},
            Artifact(folder / "kitchen", "key"),
            executor,
        )
    return sorted(str(v) for v in folder.rglob("*.mp4"))


def network_gflop() -> float:
    """Of one clip's convolutions, a multiplication and an addition counted as two."""
    from torch.utils.flop_counter import FlopCounterMode

    network: Any = load_s3d(WEIGHTS).to("meta")
    with FlopCounterMode(display=False) as counter:
        network.features(torch.empty(1, 3, SAMPLING.clip_frames, 224, 224, device="meta"))
    return counter.get_total_flops() / 1e9


def matrix_gflop_s(device: torch.device, dtype: torch.dtype) -> float:
    """The best of a few sizes."""
    rates = []
    for m, k, n in ((2048, 2048, 2048), (4096, 1024, 1024), (8192, 576, 192)):
        a, b = (torch.randn(*shape, device=device).to(dtype) for shape in ((m, k), (k, n)))
        rates.append(2 * m * k * n / best(lambda a=a, b=b: a @ b, 20) / 1e9)
    return max(rates)


def best(call: Callable[[], Any], rounds: int) -> float:
    """Seconds of the fastest of so many calls, after one."""
    fastest = math.inf
    for i in range(rounds + 1):
        started = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        fastest = fastest if i == 0 else min(fastest, time.perf_counter() - started)
    return fastest


if __name__ == "__main__":
    main()
