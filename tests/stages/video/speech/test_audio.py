from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stages.video.speech.audio import cut, read_audio
from tests.stages.video.films import damage
from tests.stages.video.micro_whisper import write_video

RATE = 16_000


def tone(seconds: float, hz: float = 440.0, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


def whole(path: Path) -> np.ndarray:
    return np.concatenate(list(read_audio(str(path))))


def onset_s(audio: np.ndarray) -> float:
    return int(np.argmax(np.abs(audio) > 0.1)) / RATE


def test_samples_are_those_that_were_written(tmp_path: Path) -> None:
    audio = np.concatenate([silence(0.5), tone(1.0), silence(0.5)])
    read = whole(write_video(tmp_path / "a.mkv", audio, codec="flac"))
    assert len(read) == len(audio)
    assert np.abs(read - audio).max() < 1e-4


def test_compressed_sound_keeps_its_time(tmp_path: Path) -> None:
    audio = np.concatenate([silence(3.0), tone(1.0), silence(2.0)])
    assert onset_s(whole(write_video(tmp_path / "a.mp4", audio))) == pytest.approx(3.0, abs=0.03)


def test_a_track_that_starts_late_is_preceded_by_silence(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", np.concatenate([silence(0.5), tone(1.0)]), codec="flac", delay_s=2.0)
    assert onset_s(whole(path)) == pytest.approx(2.5, abs=0.01)


def test_a_track_that_starts_early_loses_its_lead(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        pictures = container.add_stream("h264", rate=2)
        pictures.width = pictures.height = 32
        pictures.pix_fmt = "yuv420p"
        sound = container.add_stream("flac", rate=RATE, layout="mono")
        samples = (np.concatenate([silence(1.0), tone(1.0)]) * 32767).astype(np.int16)
        _write_sound(container, sound, samples, first=0)
        for i in range(1, 5):
            picture = av.VideoFrame(32, 32, "yuv420p")
            picture.pts, picture.time_base = i, Fraction(1, 2)
            container.mux(pictures.encode(picture))
        container.mux(pictures.encode(None))
    read = whole(tmp_path / "a.mkv")
    assert onset_s(read) == pytest.approx(0.5, abs=0.01)
    assert len(read) == round(1.5 * RATE)


def test_a_hole_in_the_track_is_silence(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        sound = container.add_stream("flac", rate=RATE, layout="mono")
        samples = (tone(1.0) * 32767).astype(np.int16)
        _write_sound(container, sound, samples, first=0, flush=False)
        _write_sound(container, sound, samples, first=5 * RATE)
    read = whole(tmp_path / "a.mkv")
    assert len(read) == pytest.approx(6 * RATE, abs=RATE // 10)
    assert onset_s(read[2 * RATE :]) == pytest.approx(3.0, abs=0.1)


def _write_sound(container, sound, samples: np.ndarray, first: int, flush: bool = True) -> None:
    for start in range(0, len(samples), 4000):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + 4000], "s16", "mono")
        frame.rate, frame.pts, frame.time_base = RATE, first + start, Fraction(1, RATE)
        container.mux(sound.encode(frame))
    if flush:
        container.mux(sound.encode(None))


def test_stereo_at_another_rate_becomes_mono_at_16_khz(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.wav"), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=44_100, layout="stereo")
        samples = np.repeat((tone(2.0, rate=44_100) * 32767).astype(np.int16), 2)[None]
        frame = av.AudioFrame.from_ndarray(samples, "s16", "stereo")
        frame.rate = 44_100
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    read = whole(tmp_path / "a.wav")
    assert len(read) == pytest.approx(2 * RATE, abs=2)
    assert np.abs(read[1000:-1000] - tone(2.0)[1000 : len(read) - 1000]).max() < 0.01


def test_no_track_is_no_sound(tmp_path: Path) -> None:
    assert list(read_audio(str(write_video(tmp_path / "a.mp4", None)))) == []


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"gone\.mp4"):
        list(read_audio(str(tmp_path / "gone.mp4")))
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(ValueError, match=r"text\.mp4: its audio track cannot be decoded"):
        list(read_audio(str(tmp_path / "text.mp4")))


def test_damage_in_the_middle_costs_only_what_is_damaged(tmp_path: Path) -> None:
    audio = np.concatenate([tone(4.0), silence(1.0), tone(1.0)])
    path = write_video(tmp_path / "a.mkv", audio, codec="flac")
    content = bytearray(path.read_bytes())
    middle = len(content) // 3
    content[middle : middle + 3000] = bytes(3000)
    path.write_bytes(content)
    read = whole(path)
    assert len(read) == pytest.approx(len(audio), abs=RATE // 2)
    assert onset_s(read[round(4.6 * RATE) :]) == pytest.approx(0.4, abs=0.1)


def test_damaged_aac_too(tmp_path: Path) -> None:
    """Whose decoder answers with errors that have no name."""
    noise = np.random.default_rng(0).normal(0, 0.05, 20 * RATE)
    path = write_video(tmp_path / "a.mp4", np.concatenate([0.3 * tone(20.0) + noise, silence(2.0), tone(1.0)]))
    damage(path)
    read = whole(path)
    assert len(read) == pytest.approx(23 * RATE, abs=RATE // 2)
    assert onset_s(read[round(20.5 * RATE) :]) == pytest.approx(1.5, abs=0.1)


@pytest.mark.parametrize(("rate", "layout"), [(RATE, "mono"), (RATE, "stereo"), (48_000, "mono")])
def test_joined_files_follow_each_other_whatever_their_layout_and_rate(tmp_path: Path, rate: int, layout: str) -> None:
    first = write_aac(tmp_path / "1.ts", np.concatenate([silence(1.0), tone(1.0)]))
    samples = np.concatenate([np.zeros(rate, np.float32), tone(1.0, rate=rate)])
    second = write_aac(tmp_path / "2.ts", samples, rate, layout)
    (tmp_path / "a.ts").write_bytes(first.read_bytes() + second.read_bytes())
    read = whole(tmp_path / "a.ts")
    assert len(read) == pytest.approx(4 * RATE, abs=RATE // 4)
    assert onset_s(read) == pytest.approx(1.0, abs=0.1)
    assert onset_s(read[round(2.3 * RATE) :]) == pytest.approx(0.7, abs=0.2)


def write_aac(path: Path, samples: np.ndarray, rate: int = RATE, layout: str = "mono") -> Path:
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=rate, layout=layout)
        for start in range(0, len(samples), 1024):
            block = np.tile(samples[start : start + 1024], (1 if layout == "mono" else 2, 1))
            frame = av.AudioFrame.from_ndarray(block, "fltp", layout)
            frame.rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path


@pytest.mark.parametrize("block", [1, 7, 100, 10_000])
def test_spans_are_cut_from_blocks_of_any_size(block: int) -> None:
    samples = np.arange(1000, dtype=np.float32)
    spans = [(0, 3), (3, 4), (50, 150), (150, 500), (990, 1000)]
    blocks = (samples[i : i + block] for i in range(0, 1000, block))
    pieces = list(cut(blocks, spans))
    assert [p.tolist() for p in pieces] == [samples[a:b].tolist() for a, b in spans]
