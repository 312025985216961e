from __future__ import annotations

import subprocess
import sys
import threading
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from stages.video.decode import BrokenVideo, ClipStream, Sampling, read_clips
from tests.stages.video.films import CORNERS, corners, counting, counts, damage, scene, write_film, write_sound

SMALL = Sampling(clip_frames=10)


def clips_of(path: Path, sampling: Sampling = SMALL, threads: int = 1) -> list[np.ndarray]:
    return list(read_clips(str(path), sampling, threads))


class TestTime:
    def test_every_tick_gets_the_frame_shown_then(self, tmp_path: Path) -> None:
        clips = clips_of(write_film(tmp_path / "a.mp4", counting(30), fps=30))
        assert counts(np.concatenate(clips)) == [int(j * 30 / 20) for j in range(20)]

    def test_frames_are_repeated_where_the_video_is_slower(self, tmp_path: Path) -> None:
        clips = clips_of(write_film(tmp_path / "a.mp4", counting(10), fps=10))
        assert counts(np.concatenate(clips)) == [j // 2 for j in range(20)]

    def test_times_rounded_to_milliseconds_count_as_on_time(self, tmp_path: Path) -> None:
        clips = clips_of(write_film(tmp_path / "a.mkv", counting(55), fps=30))
        assert counts(np.concatenate(clips)) == [int(j * 30 / 20) for j in range(30)]

    def test_variable_frame_rate_goes_by_time_stamps(self, tmp_path: Path) -> None:
        begins_ms = [0, 40, 70, 500, 505, 510, 900]
        path = write_film(tmp_path / "a.mkv", counting(7), times_ms=begins_ms)
        shown = counts(clips_of(path, Sampling(fps=20, clip_frames=18))[0])
        assert shown == [max(i for i, begin in enumerate(begins_ms) if begin <= 50 * j) for j in range(18)]

    def test_starts_at_the_first_picture(self, tmp_path: Path) -> None:
        begins_ms = [1000 + round(i * 1000 / 30) for i in range(30)]
        path = write_film(tmp_path / "a.mkv", counting(30), times_ms=begins_ms)
        assert counts(clips_of(path)[0]) == [int(j * 30 / 20) for j in range(10)]

    def test_files_that_were_joined_follow_each_other(self, tmp_path: Path) -> None:
        parts = [write_film(tmp_path / f"{i}.ts", counting(60)[first:], fps=30) for i, first in enumerate((0, 15))]
        (tmp_path / "a.ts").write_bytes(b"".join(p.read_bytes() for p in parts))
        clips = clips_of(tmp_path / "a.ts")
        assert len(clips) == 7  # 3.5 s
        assert counts(clips[0]) == [int(j * 30 / 20) for j in range(10)]
        assert counts(clips[4]) == [15 + int(j * 30 / 20) for j in range(10)]

    def test_a_jump_ahead_takes_no_time_and_is_no_damage(self, tmp_path: Path) -> None:
        times_ms = [(0 if i < 20 else 36_000_000) + i * 50 for i in range(40)]
        path = write_film(tmp_path / "a.mkv", counting(40), fps=20, times_ms=times_ms)
        assert counts(np.concatenate(clips_of(path))) == list(range(40))

    def test_frames_that_do_not_fill_a_clip_are_dropped(self, tmp_path: Path) -> None:
        path = write_film(tmp_path / "a.mp4", counting(42), fps=30)
        assert len(clips_of(path)) == 2


class TestPicture:
    @pytest.mark.parametrize(("rotation", "order"), [(0, "0123"), (90, "1302"), (180, "3210"), (270, "2031")])
    @pytest.mark.parametrize("size", [(240, 320), (320, 240)])
    def test_is_upright_and_keeps_its_colours(
        self, tmp_path: Path, size: tuple[int, int], rotation: int, order: str
    ) -> None:
        path = write_film(tmp_path / "a.mp4", corners(20, *size), rotation=rotation)
        picture = clips_of(path)[0][5]
        seen = [picture[row, column] for row in (56, 168) for column in (56, 168)]
        assert np.abs(np.array(seen, int) - [CORNERS[int(i)] for i in order]).max() <= 3

    def test_is_the_centre_at_the_scale_of_the_short_side(self, tmp_path: Path) -> None:
        picture = np.zeros((240, 480, 3), np.uint8)
        picture[40:200, 160:320] = 255  # of 240 rows 160: of 300 pixels 200
        path = write_film(tmp_path / "a.mp4", [picture] * 20)
        clip = clips_of(path, Sampling(clip_frames=10, short_side=300, crop=250))[0]
        white = np.argwhere(clip[0, :, :, 0] > 128)
        assert np.abs(white.min(0) - 25).max() <= 1
        assert np.abs(white.max(0) - 224).max() <= 1

    def test_odd_sizes(self, tmp_path: Path) -> None:
        assert clips_of(write_film(tmp_path / "a.mp4", corners(20, 122, 338)))[0].shape == (10, 224, 224, 3)

    def test_is_nearly_decords(self, tmp_path: Path) -> None:
        """Another FFmpeg, seven years older, resizing before cropping."""
        decord = pytest.importorskip("decord")
        path = write_film(tmp_path / "a.mp4", scene(1, 45, 288, 512), options={"g": "12"})
        ours = clips_of(path, Sampling())[0]
        reader = decord.VideoReader(str(path), width=398, height=224, num_threads=1)
        theirs = reader.get_batch([int(j * 1.5) for j in range(30)]).asnumpy()[:, :, 87:311]
        assert np.abs(ours.astype(int) - theirs).mean() < 3


class TestBroken:
    @pytest.fixture
    def film(self, tmp_path: Path) -> Path:
        """Four seconds with the index in front, so that its beginning can be read alone."""
        return write_film(tmp_path / "a.mp4", scene(2, 120), options={"g": "10", "movflags": "faststart"})

    @pytest.mark.parametrize("threads", [1, 4])
    def test_in_the_middle_gives_the_clips_before(self, film: Path, threads: int) -> None:
        damage(film)
        stream = read_clips(str(film), SMALL, threads)
        assert len(list(islice(stream, 2))) == 2
        with pytest.raises(BrokenVideo, match=r"a.mp4: broken at \d\.\d s \(Invalid data"):
            list(stream)

    def test_without_its_index(self, film: Path) -> None:
        content = film.read_bytes()
        film.write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match=r"a\.mp4"):
            clips_of(film)

    def test_shorter_than_its_header_says(self, tmp_path: Path) -> None:
        path = write_film(tmp_path / "a.mkv", scene(2, 40), fps=1, options={"g": "5", "bf": "0"})
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(BrokenVideo, match=r"a\.mkv: ends at (1|2)\d\.0 s of 40\.0 s"):
            clips_of(path)

    @pytest.mark.parametrize(("content", "reason"), [(b"", "Invalid data"), (b"no video" * 50, "Invalid data")])
    def test_no_video_at_all(self, tmp_path: Path, content: bytes, reason: str) -> None:
        (tmp_path / "a.mp4").write_bytes(content)
        with pytest.raises(ValueError, match=reason):
            clips_of(tmp_path / "a.mp4")

    def test_only_sound(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"a.mp4: has no video stream \(only sound\)"):
            clips_of(write_sound(tmp_path / "a.mp4"))

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match=r"none\.mp4"):
            clips_of(tmp_path / "none.mp4")


class TestStream:
    def test_gives_what_reading_gives(self, tmp_path: Path) -> None:
        path = write_film(tmp_path / "a.mp4", counting(90))
        streamed = list(ClipStream(str(path), SMALL, threads=2, depth=2))
        assert np.array_equal(np.stack(streamed), np.stack(clips_of(path)))

    def test_raises_after_the_clips_before(self, tmp_path: Path) -> None:
        stream = iter(ClipStream(str(tmp_path / "none.mp4"), SMALL, threads=1))
        with pytest.raises(OSError, match=r"none\.mp4"):
            next(stream)

    def test_ends_its_thread_when_closed_early(self, tmp_path: Path) -> None:
        path = write_film(tmp_path / "a.mp4", counting(200, 64, 64))
        before = threading.active_count()
        stream = ClipStream(str(path), SMALL, threads=1, depth=1)
        list(islice(stream, 2))
        stream.close()
        assert threading.active_count() == before


@pytest.mark.slow
def test_memory_does_not_grow_with_the_video(tmp_path: Path) -> None:
    """Twenty minutes, read as slowly as a network would: 24,000 frames are 3.6 GB."""
    path = write_film(tmp_path / "a.mp4", counting(55, 64, 64) * 220, fps=10, options={"g": "250"})
    program = """
import resource, sys, time
from stages.video.decode import ClipStream, Sampling
peak_mb = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)
for i, clip in enumerate(ClipStream(sys.argv[1], Sampling(), threads=2)):
    if i == 50:
        early = peak_mb()
    time.sleep(0.002)
print(i + 1, peak_mb() - early)
"""
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    n_clips, grown_mb = done.stdout.split()
    assert int(n_clips) == 110 * 110 * 2 // 30
    assert float(grown_mb) < 20
