"""EmbedClips: videos to features."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import torch

from models.folded_s3d import FoldedS3D
from models.precision import best_device, has_fast_bf16
from models.s3d import (
    FEATURE_WIDTH,
    KINETICS,
    MEAN,
    MIN_FRAMES,
    MIN_SIDE,
    STD,
    Colour,
    load_s3d,
    parameters_digest,
    seed_of,
)
from pipeline.errors import UserError
from pipeline.executor import Executor, Rejected, Resources
from pipeline.progress import say
from pipeline.stage import Stage
from pipeline.store import Artifact, file_digest, part_metadata
from stages.video.decode import SCALING, BrokenVideo, ClipStream, Frames, Sampling
from stages.video.feature_table import feature_schema, feature_table

BATCH = {"cpu": 1, "cuda": 16}
"""Clips in one call of the network: on a CPU one, whose activations stay in the caches. Never across videos."""
JPEG_QUALITY = 80
RAN = b"precision"
"""In a part's metadata: the network's numbers and where they were computed. A run may go on on another machine."""


@dataclass(frozen=True, kw_only=True)
class EmbedClips(Stage):
    """Cut videos into clips and embed each with S3D.

    In   videos: video_id str, path str
    Out  video_id str, clip int32 (from 0), start_s and end_s float64 (after the first picture), feature float16[1024],
         thumbnail binary or null (JPEG of the clip's middle frame)

    Clips follow each other without overlap; frames at the end that do not fill one are dropped. Of a video that breaks
    off in the middle the clips before are kept, and it is also an error row that says where it broke. As in the paper,
    the features are what S3D's classifier reads: its last layer before, average pooled. The manifest's ``recipe`` says
    how they came to be, and what the network's products ran in: on a GPU where there is one, else on the CPU.
    """

    weights: str = KINETICS
    """S3D's: kinetics400 (torchvision's, downloaded), the path of a state dict, or random:SEED"""
    fps: float = 20.0
    """Frames a second that the network sees"""
    clip_frames: int = 30
    """Frames in a clip: at 20 a second 30 are 1.5 s"""
    short_side: int = 224
    """Pixels that the shorter side of the picture is resized to, before the centre is cropped"""
    crop: int = 224
    """Side of the centre square that the network sees, in pixels"""
    mean: Colour = MEAN
    """Of red, green and blue, each from 0 to 1, in what the weights were trained on; by default Kinetics'"""
    std: Colour = STD
    """Standard deviations likewise: the network sees (picture - mean) / std"""
    thumbnail: int = 112
    """Side of the thumbnails, in pixels; 0 for none"""
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    """Of the network's products: auto is bfloat16 where the machine has units for it, else float32"""

    version: ClassVar[str] = "2"
    paths: ClassVar[frozenset[str]] = frozenset({"weights"})
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"videos": ("video_id", "path")}
    writes: ClassVar[pa.Schema | None] = feature_schema(FEATURE_WIDTH)

    def __post_init__(self) -> None:
        if not 0 < self.fps <= 240:
            raise UserError(f"fps must lie between 0 and 240, not {self.fps:g}")
        if self.clip_frames < MIN_FRAMES:
            raise UserError(f"clip_frames must be at least {MIN_FRAMES}, which S3D needs, not {self.clip_frames}")
        if self.crop < MIN_SIDE:
            raise UserError(f"crop must be at least {MIN_SIDE}, which S3D needs, not {self.crop}")
        if self.short_side < self.crop:
            raise UserError(f"short_side must be at least crop, which is {self.crop}, not {self.short_side}")
        if not 0 <= self.thumbnail <= self.crop:
            raise UserError(f"thumbnail must lie between 0 and crop, which is {self.crop}, not {self.thumbnail}")
        if len(self.mean) != 3 or not all(map(math.isfinite, self.mean)):
            raise UserError(f"mean must be three numbers, of red, green and blue, not {list(self.mean)}")
        if len(self.std) != 3 or not all(0 < s < math.inf for s in self.std):
            raise UserError(f"std must be three numbers above 0, of red, green and blue, not {list(self.std)}")
        if self.precision not in ("auto", "bfloat16", "float32"):
            raise UserError(f"precision must be auto, bfloat16 or float32, not '{self.precision}'")
        try:
            seed_of(self.weights)
        except ValueError as error:
            raise UserError(str(error)) from None

    def fingerprint(self) -> str:
        if self.weights == KINETICS or seed_of(self.weights) is not None:
            return ""
        if not Path(self.weights).is_file():
            raise UserError(f"{self.weights}: no such file (weights are {KINETICS}, a path or random:SEED)")
        return file_digest(self.weights)

    def check(self) -> None:
        if seed_of(self.weights) is None:
            self._weights_digest()

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any]:
        digest = self._weights_digest()
        parts = [[p] for p in inputs["videos"].parts]
        make = partial(S3DEmbedder, self)
        executor.map(make, parts, out, schema=feature_schema(FEATURE_WIDTH), by="video_id", resources=Resources(gpus=1))
        ran = sorted({way for p in Artifact(out, "").parts for way in part_metadata(p)[RAN].decode().split("\n")})
        if len(ran) > 1:
            say(f"features computed in {', others in '.join(ran)}: set precision to make them more alike")
        return {"recipe": self._recipe(digest, ran)}

    def _weights_digest(self) -> str:
        try:
            return parameters_digest(load_s3d(self.weights))
        except (OSError, ValueError) as error:
            raise UserError(str(error)) from None

    def sampling(self) -> Sampling:
        return Sampling(self.fps, self.clip_frames, self.short_side, self.crop)

    def _recipe(self, digest: str, ran: list[str]) -> dict[str, Any]:
        import av

        return {
            "network": "torchvision S3D, average pool before the classifier",
            "weights": self.weights,
            "weights_sha256": digest,
            "fps": self.fps,
            "clip_frames": self.clip_frames,
            "frame_choice": "last at or before each tick, by time stamp",
            "short_side": self.short_side,
            "crop": f"centre {self.crop}x{self.crop}",
            "resize": f"swscale {SCALING}, after cropping",
            "mean": self.mean,
            "std": self.std,
            "precision": ran,
            "stored": "float16",
            "decoder": f"PyAV {av.__version__}, libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}",
        }


class S3DEmbedder:
    """One video to its features. Decodes ahead: the video at hand and, once it is known, the next."""

    def __init__(self, stage: EmbedClips) -> None:
        device = best_device()
        fast = has_fast_bf16(device) if stage.precision == "auto" else stage.precision == "bfloat16"
        dtype = torch.bfloat16 if fast else torch.float32
        self._network = FoldedS3D(load_s3d(stage.weights), device, dtype, stage.mean, stage.std)
        place = torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"
        self.how = {RAN.decode(): f"{str(dtype).removeprefix('torch.')} on {place}"}
        self._stage = stage
        self._sampling = stage.sampling()
        self._batch = BATCH[device.type]
        self._streams: dict[str, ClipStream] = {}

    def prefetch(self, videos: pa.Table) -> None:
        video_id = videos["video_id"][0].as_py()
        if video_id not in self._streams:
            path, threads = videos["path"][0].as_py(), torch.get_num_threads()
            self._streams[video_id] = ClipStream(path, self._sampling, threads, depth=2 * self._batch)

    def __call__(self, videos: pa.Table) -> pa.Table | tuple[pa.Table, list[Rejected]]:
        self.prefetch(videos)
        video_id, path = videos["video_id"][0].as_py(), videos["path"][0].as_py()
        stream = self._streams.pop(video_id)
        features: list[np.ndarray] = []
        thumbnails: list[bytes | None] = []
        waiting: list[Frames] = []
        broken: BrokenVideo | None = None

        def embed() -> None:
            features.append(self._network(torch.from_numpy(np.stack(waiting))).numpy())
            thumbnails.extend(self._thumbnail(clip) for clip in waiting)
            waiting.clear()

        try:
            for clip in stream:
                waiting.append(clip)
                if len(waiting) == self._batch:
                    embed()
        except BrokenVideo as error:
            broken = error
        finally:
            stream.close()
        if waiting:
            embed()
        if not features:
            raise broken or ValueError(f"{path}: shorter than one clip of {self._sampling.clip_s:g} s")
        table = feature_table(video_id, np.concatenate(features), self._sampling.clip_s, thumbnails)
        if broken is None:
            return table
        return table, [Rejected(video_id, f"{broken}; clips kept: {len(table)}")]

    def _thumbnail(self, clip: Frames) -> bytes | None:
        from PIL import Image

        size = self._stage.thumbnail
        if size == 0:
            return None
        file = io.BytesIO()
        picture = Image.fromarray(clip[len(clip) // 2]).resize((size, size), Image.Resampling.BOX)
        picture.save(file, "JPEG", quality=JPEG_QUALITY)
        return file.getvalue()
