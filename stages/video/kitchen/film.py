"""Draws a script and writes it as a video file, the same bytes each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stages.video.kitchen.actions import ACTIONS, Action
from stages.video.kitchen.canvas import HEIGHT, WIDTH
from stages.video.kitchen.ingredients import ingredient
from stages.video.kitchen.room import Crate, Idle, Room
from stages.video.kitchen.script import FPS, Scene
from stages.video.kitchen.sound import RATE, sound_track

X264 = {"preset": "veryfast", "crf": "23", "threads": "1", "mbtree": "0"}
"""With several threads the bytes depend on their number, and with the macroblock tree on what lies in memory."""


def frames(scenes: Sequence[Scene], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The pictures of a video, uint8 (240, 320, 3), FPS of them a second."""
    room = Room(rng)
    for scene in scenes:
        still = room.draw(room.view(rng))
        action: Action
        if scene.verb is None or scene.object is None:
            action = Idle(rng)
        else:
            food = ingredient(scene.object, rng)
            Crate(food, rng).lay(still)
            action = ACTIONS[scene.verb](food, rng)
        action.lay(still)
        n_frames = round((scene.end_s - scene.start_s) * FPS)
        for k in range(n_frames):
            moment = still.copy()
            action.move(moment, k / FPS, k / n_frames)
            yield moment.frame()


def write_film(path: Path, scenes: Sequence[Scene], rng: np.random.Generator, sound: bool) -> None:
    """H.264 in MP4, with AAC sound where wanted."""
    import av

    for_pictures, for_sound = rng.spawn(2)
    with av.open(str(path), "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=FPS, options=X264)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        if sound:
            track: Any = container.add_stream("aac", rate=RATE, layout="mono", options={"threads": "1"})
            samples = sound_track(scenes, for_sound)
        for k, picture in enumerate(frames(scenes, for_pictures)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = k
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound:
            whole = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            whole.sample_rate, whole.pts = RATE, 0
            container.mux(track.encode(whole))
            container.mux(track.encode())
