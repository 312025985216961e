"""Small video files, made by code."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

Picture = np.ndarray

CORNERS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255))
"""Of ``corners``: top left, top right, bottom left, bottom right."""


def write_film(
    path: Path,
    pictures: Sequence[Picture],
    fps: int = 30,
    times_ms: Sequence[int] | None = None,
    rotation: float = 0,
    sound: bool = False,
    options: dict[str, str] | None = None,
) -> Path:
    """Pictures (H, W, 3) as H.264; ``times_ms`` for a variable frame rate, ``rotation`` for the display matrix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=fps, options={"preset": "ultrafast", "crf": "2", **(options or {})}
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        voice = container.add_stream("aac", rate=16000, layout="mono") if sound else None
        for i, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = (i, Fraction(1, fps)) if times_ms is None else (times_ms[i], Fraction(1, 1000))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if voice is not None:
            _mux_silence(container, voice, len(pictures) / fps)
    return path


def write_sound(path: Path, seconds: float = 1.0) -> Path:
    """A file without pictures."""
    with av.open(str(path), "w") as container:
        _mux_silence(container, container.add_stream("aac", rate=16000, layout="mono"), seconds)
    return path


def damage(path: Path, size: int = 3000) -> None:
    """Overwrite bytes in the middle of a file."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + size] = b"\xff" * size
    path.write_bytes(content)


def counting(n_frames: int, height: int = 240, width: int = 320) -> list[Picture]:
    """Picture i is grey of level 16 + 4 * (i mod 55): it tells which it is."""
    return [np.full((height, width, 3), 16 + 4 * (i % 55), np.uint8) for i in range(n_frames)]


def counts(frames: np.ndarray) -> list[int]:
    """Which pictures of ``counting`` the frames (T, H, W, 3) are."""
    return [round((level - 16) / 4) for level in frames.mean((1, 2, 3))]


def corners(n_frames: int, height: int = 240, width: int = 320) -> list[Picture]:
    """A still picture of four colours."""
    picture = np.zeros((height, width, 3), np.uint8)
    halves = slice(0, height // 2), slice(height // 2, None)
    for i, colour in enumerate(CORNERS):
        picture[halves[i // 2], slice(0, width // 2) if i % 2 == 0 else slice(width // 2, None)] = colour
    return [picture] * n_frames


def scene(seed: int, n_frames: int = 30, height: int = 224, width: int = 224) -> list[Picture]:
    """Discs that move over a background, of colours, sizes and speeds that ``seed`` says."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    background = rng.integers(40, 200, 3)
    discs: list[tuple[Any, ...]] = [
        (rng.integers(0, 256, 3), rng.integers(10, 50), rng.uniform(0, (height, width)), rng.uniform(-4, 4, 2))
        for _ in range(rng.integers(2, 6))
    ]
    pictures = []
    for t in range(n_frames):
        picture = np.empty((height, width, 3), np.uint8)
        picture[:] = background
        for colour, radius, centre, speed in discs:
            row, column = centre + speed * t
            picture[(y - row) ** 2 + (x - column) ** 2 < radius**2] = colour
        pictures.append(picture)
    return pictures


def _mux_silence(container: Any, stream: Any, seconds: float) -> None:
    for start in range(0, round(seconds * 16000), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
