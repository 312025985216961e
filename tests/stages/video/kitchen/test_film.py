"""Video files of the kitchen."""

from __future__ import annotations

import itertools
from pathlib import Path

import av
import numpy as np
import pytest

from stages.video.kitchen.film import frames, write_film
from stages.video.kitchen.script import FPS, Scene, generator
from stages.video.kitchen.sound import RATE, sound_track

SCENES = [Scene(0.0, 0.5, None, None, "Hello."), Scene(0.5, 1.75, "fry", "lemon", "Fry the lemon.")]


def shoot(path: Path, sound: bool = False) -> bytes:
    write_film(path, SCENES, generator(1, "film"), sound)
    return path.read_bytes()


def test_a_film_has_a_frame_every_twentieth_of_a_second(tmp_path: Path) -> None:
    shoot(tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as container:
        (stream,) = container.streams
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 320, 240)
        assert stream.average_rate == FPS == 20
        times = [frame.time for frame in container.decode(stream)]
    assert times == pytest.approx([k / FPS for k in range(35)])


def test_the_file_shows_what_was_drawn(tmp_path: Path) -> None:
    shoot(tmp_path / "a.mp4")
    drawn = list(frames(SCENES, generator(1, "film").spawn(2)[0]))
    with av.open(str(tmp_path / "a.mp4")) as container:
        for frame, picture in zip(container.decode(video=0), drawn, strict=True):
            assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - picture).mean() < 6


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    """Also where the heap holds something else each time: x264's defaults do not pass this."""
    films = set()
    for i in range(6):
        rubbish = np.random.default_rng(i).bytes((1 << 20) * (1 + i % 3))
        films.add(shoot(tmp_path / "a.mp4", sound=True))
        del rubbish
    assert len(films) == 1


def test_sound_lasts_as_long_as_the_pictures(tmp_path: Path) -> None:
    shoot(tmp_path / "a.mp4", sound=True)
    with av.open(str(tmp_path / "a.mp4")) as container:
        (track,) = container.streams.audio
        assert (track.codec_context.name, track.rate, track.layout.name) == ("aac", RATE, "mono")
        samples = np.concatenate([f.to_ndarray()[0] for f in container.decode(track)])
    assert len(samples) / RATE == pytest.approx(1.75, abs=0.15)
    assert np.abs(samples).max() > 0.05


def test_every_action_sounds_different_and_fills_its_scene() -> None:
    verbs = ("cut", "stir", "pour", "fry", "peel", "wash")
    scenes = [Scene(2.0 * i, 2.0 * i + 2, verb, "plum", "") for i, verb in enumerate(verbs)]
    samples = sound_track(scenes, np.random.default_rng(0))
    assert samples.dtype == np.float32
    assert len(samples) == 12 * RATE
    spectra = [np.abs(np.fft.rfft(s))[:8000].reshape(80, 100).mean(1) for s in samples.reshape(6, -1)]
    spectra = [s / np.linalg.norm(s) for s in spectra]
    assert max(a @ b for a, b in itertools.combinations(spectra, 2)) < 0.995
