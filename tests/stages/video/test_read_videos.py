from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import Any

import av
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from pipeline.store import MANIFEST, write_json
from stages.video.read_videos import VIDEOS, ReadVideos
from stages.video.video_list import part_size
from tests.stages.video.films import counting, write_film, write_sound

CLUSTER, DURATION = b"\x1f\x43\xb6\x75", b"\x44\x89\x88"
"""Of Matroska: where the frames begin, and what precedes the duration, a double."""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second."""
    return write_film(tmp_path_factory.mktemp("film") / "film.mp4", counting(15, 48, 64))


def put(film: Path, *paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(film, path)


def read(folder: Path, videos: Path | str, inputs: dict[str, Artifact] | None = None, **fields: Any) -> Artifact:
    out = Artifact(folder / "out", "key")
    with LocalExecutor(max_error_rate=1) as executor:
        make(ReadVideos(videos=str(videos), **fields), inputs or {}, out, executor)
    return out


def ids(out: Artifact) -> list[str]:
    return out.read(["video_id"])["video_id"].to_pylist()


def reasons(out: Artifact) -> dict[str, str]:
    rejected = out.errors()
    return {} if rejected is None else {r["item"]: r["reason"] for r in rejected.to_pylist()}


class TestRows:
    def test_say_what_the_file_says(self, tmp_path: Path) -> None:
        path = write_film(tmp_path / "in/a.mp4", counting(30, 48, 64), fps=25, rotation=90, sound=True)
        (row,) = read(tmp_path, tmp_path / "in").read().to_pylist()
        assert row == {
            "video_id": "a",
            "path": str(path),
            "duration_s": pytest.approx(1.2),
            "fps": pytest.approx(25),
            "width": 64,
            "height": 48,
            "rotation": 90,
            "has_audio": True,
            "captions": None,
        }

    @pytest.mark.parametrize("rotation", [0, 180, 270])
    def test_rotation_is_counted_counterclockwise_from_0(self, tmp_path: Path, rotation: int) -> None:
        path = write_film(tmp_path / "a.mp4", counting(2, 48, 64), rotation=rotation)
        assert read(tmp_path, path).read()["rotation"].to_pylist() == [rotation]

    def test_duration_where_the_header_does_not_say(self, tmp_path: Path) -> None:
        path = write_film(tmp_path / "a.h264", counting(30, 48, 64), fps=25)
        with av.open(str(path)) as container:
            assert container.duration is None
        (row,) = read(tmp_path, path).read().to_pylist()
        assert row["duration_s"] == pytest.approx(1.2)

    def test_a_few_videos_are_a_part_each_and_many_are_64_a_part(self) -> None:
        assert [part_size(n) for n in (1, 5, 127, 128, 1000, 4096, 10**6)] == [1, 1, 1, 2, 15, 64, 64]

    def test_parts(self, film: Path, tmp_path: Path) -> None:
        put(film, *(tmp_path / f"in/{i}.mp4" for i in range(5)))
        out = read(tmp_path, tmp_path / "in", videos_per_part=2)
        assert [pq.read_table(p)["video_id"].to_pylist() for p in out.parts] == [["0", "1"], ["2", "3"], ["4"]]
        assert out.schema.remove_metadata() == VIDEOS


class TestFolder:
    def test_ids_are_paths_below_it_without_extension(self, film: Path, tmp_path: Path) -> None:
        put(film, *(tmp_path / "in" / n for n in ("b.mp4", "a.MKV", "x/b.mp4", "x/.hidden.mp4", ".git/c.mp4", "b.txt")))
        assert ids(read(tmp_path, tmp_path / "in")) == ["a", "b", "x/b"]

    def test_extension_stays_where_two_files_share_the_rest(self, film: Path, tmp_path: Path) -> None:
        put(film, tmp_path / "in/a.mp4", tmp_path / "in/a.mkv", tmp_path / "in/b.mp4")
        assert ids(read(tmp_path, tmp_path / "in")) == ["a.mkv", "a.mp4", "b"]

    def test_extension_stays_where_the_rest_is_a_files_name(self, film: Path, tmp_path: Path) -> None:
        put(film, *(tmp_path / "in" / n for n in ("a.mkv", "a.mp4", "a.mp4.mkv", "b.mp4.mkv")))
        assert ids(read(tmp_path, tmp_path / "in")) == ["a.mkv", "a.mp4", "a.mp4.mkv", "b.mp4"]

    @pytest.mark.parametrize("videos", ["in", "in/**/*.mp4"])
    def test_linked_folders_are_followed_but_in_no_circle(self, film: Path, tmp_path: Path, videos: str) -> None:
        put(film, tmp_path / "in/b.mp4", tmp_path / "elsewhere/c.mp4")
        (tmp_path / "in/a").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere/back").symlink_to(tmp_path / "in")
        (tmp_path / "in/self").symlink_to(tmp_path / "in")
        assert ids(read(tmp_path, tmp_path / videos)) == ["a/c", "b"]

    def test_captions_in_capitals(self, film: Path, tmp_path: Path) -> None:
        put(film, tmp_path / "in/A.MP4")
        (tmp_path / "in/A.en.SRT").touch()
        assert read(tmp_path, tmp_path / "in").read()["captions"].to_pylist() == [f"{tmp_path}/in/A.en.SRT"]

    def test_captions_beside(self, film: Path, tmp_path: Path) -> None:
        put(film, *(tmp_path / f"in/{n}.mp4" for n in ("a", "b", "c", "c.d", "e", "f")))
        for name in ("a.vtt", "a.json3", "a.en.json3", "b.en-GB.srt", "c.d.vtt", "e.notalanguage.vtt", "g.vtt"):
            (tmp_path / "in" / name).touch()
        rows = read(tmp_path, tmp_path / "in").read().to_pylist()
        found = {r["video_id"]: r["captions"] and Path(r["captions"]).name for r in rows}
        assert found == {"a": "a.json3", "b": "b.en-GB.srt", "c": None, "c.d": "c.d.vtt", "e": None, "f": None}

    @pytest.mark.parametrize("name", ["none", "empty"])
    def test_without_videos(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(UserError, match=rf"{name}: (no such file or folder|has no video files \(.*\.mp4)"):
            ReadVideos(videos=str(tmp_path / name)).key({})

    def test_of_an_artifact_need_not_exist_at_planning(self, film: Path, tmp_path: Path) -> None:
        stage = ReadVideos(videos="drawn")
        assert stage.key({"folder": "1"}) != stage.key({"folder": "2"})
        put(film, tmp_path / "artifact/drawn/a.mp4")
        write_json(tmp_path / "artifact" / MANIFEST, {"key": "1"})
        out = read(tmp_path, "drawn", {"folder": Artifact(tmp_path / "artifact", "1")})
        assert out.read().to_pylist()[0]["path"] == str(tmp_path / "artifact/drawn/a.mp4")


class TestPattern:
    def test_ids_are_paths_below_its_fixed_part(self, film: Path, tmp_path: Path) -> None:
        put(film, *(tmp_path / "in" / n for n in ("x/1/b.mp4", "x/a.mp4", "y/c.mp4", "x/1/b.txt")))
        assert ids(read(tmp_path, tmp_path / "in/x*/**/*")) == ["x/1/b", "x/a"]

    def test_one_video(self, film: Path, tmp_path: Path) -> None:
        put(film, tmp_path / "in/a [1].mp4")
        assert ids(read(tmp_path, tmp_path / "in/a [1].mp4")) == ["a [1]"]

    @pytest.mark.parametrize("pattern", ["*.avi", "none/**/*.avi"])
    def test_that_matches_nothing(self, tmp_path: Path, pattern: str) -> None:
        with pytest.raises(UserError, match=r"\*\.avi: matches no video files"):
            ReadVideos(videos=str(tmp_path / pattern)).key({})


class TestList:
    def test_paths_are_relative_to_its_folder_and_order_is_kept(self, film: Path, tmp_path: Path) -> None:
        put(film, tmp_path / "in/x/b.mp4", tmp_path / "in/x/a.mp4", tmp_path / "in/y/c.video")
        (tmp_path / "in/list.txt").write_text(f"x/b.mp4\n\nx/a.mp4\n{tmp_path}/in/y/c.video\n")
        assert ids(read(tmp_path, tmp_path / "in/list.txt")) == ["x/b", "x/a", "y/c"]

    def test_missing_files_are_error_rows_with_their_line(self, film: Path, tmp_path: Path) -> None:
        put(film, tmp_path / "a.mp4")
        (tmp_path / "list.txt").write_text("a.mp4\n\nnone.mp4\n")
        out = read(tmp_path, tmp_path / "list.txt")
        assert ids(out) == ["a"]
        assert reasons(out) == {"none": f"{tmp_path}/list.txt:3: {tmp_path}/none.mp4: no such file"}

    def test_a_mark_of_its_encoding_is_no_part_of_a_path(self, film: Path, tmp_path: Path) -> None:
        put(film, tmp_path / "a.mp4")
        (tmp_path / "list.txt").write_text("a.mp4\n", encoding="utf-8-sig")
        assert ids(read(tmp_path, tmp_path / "list.txt")) == ["a"]

    @pytest.mark.parametrize(
        ("name", "content", "kind"),
        [
            ("v.txt", "crème.mp4\n".encode("latin-1"), "text in UTF-8"),
            ("v.csv", "path\ncrème.mp4\n".encode("latin-1"), "text in UTF-8"),
            ("v.parquet", b"no table" * 10, "Parquet"),
            ("v.parquet", b"", "Parquet"),
        ],
    )
    def test_that_cannot_be_read(self, tmp_path: Path, name: str, content: bytes, kind: str) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=rf"{name}: cannot be read as {kind} \(.+\)$"):
            ReadVideos(videos=str(tmp_path / name)).key({})

    def test_a_path_longer_than_the_system_takes_is_an_error_row(self, tmp_path: Path) -> None:
        (tmp_path / "list.txt").write_text("a" * 5000 + ".mp4\n")
        rejected = read(tmp_path, tmp_path / "list.txt").errors()
        assert rejected is not None
        assert rejected.num_rows == 1

    def test_a_path_twice(self, tmp_path: Path) -> None:
        (tmp_path / "list.txt").write_text("a.mp4\nb.mp4\na.mp4\n")
        with pytest.raises(UserError, match=r"list\.txt:3: 'a\.mp4' is also in line 1"):
            ReadVideos(videos=str(tmp_path / "list.txt")).key({})

    def test_empty(self, tmp_path: Path) -> None:
        (tmp_path / "list.txt").write_text("\n")
        with pytest.raises(UserError, match=r"list\.txt: lists no videos"):
            ReadVideos(videos=str(tmp_path / "list.txt")).key({})


class TestTable:
    @pytest.mark.parametrize("suffix", [".csv", ".parquet"])
    def test_ids_and_captions_of_its_own(self, film: Path, tmp_path: Path, suffix: str) -> None:
        put(film, tmp_path / "a.mp4", tmp_path / "b.mp4")
        (tmp_path / "speech").mkdir()
        (tmp_path / "speech/a.vtt").touch()
        rows = {"path": ["a.mp4", "b.mp4"], "video_id": ["one", None], "captions": ["speech/a.vtt", None]}
        table = tmp_path / f"videos{suffix}"
        pq.write_table(pa.table(rows), table) if suffix == ".parquet" else table.write_text(
            "path,more,video_id,captions\na.mp4,x,one,speech/a.vtt\nb.mp4,x,,\n"
        )
        out = read(tmp_path, table).read().to_pylist()
        assert [(r["video_id"], r["captions"]) for r in out] == [("one", f"{tmp_path}/speech/a.vtt"), ("b", None)]

    def test_without_the_column(self, tmp_path: Path) -> None:
        (tmp_path / "v.csv").write_text("file,video_id\na.mp4,a\n")
        with pytest.raises(UserError, match=r"v\.csv: has no column path \(it has: file, video_id\)"):
            ReadVideos(videos=str(tmp_path / "v.csv")).key({})

    def test_with_an_empty_path(self, tmp_path: Path) -> None:
        (tmp_path / "v.csv").write_text("path,video_id\na.mp4,a\n,b\n")
        with pytest.raises(UserError, match=r"v\.csv:3: the column path is empty"):
            ReadVideos(videos=str(tmp_path / "v.csv")).key({})

    def test_with_an_id_twice(self, tmp_path: Path) -> None:
        (tmp_path / "v.csv").write_text('path,video_id,title\na.mp4,a,"two\nlines"\nb.mp4,a,\n')
        with pytest.raises(UserError, match=r"v\.csv:4: 'a' is also in line 3"):
            ReadVideos(videos=str(tmp_path / "v.csv")).key({})

    def test_with_captions_that_are_not_there(self, film: Path, tmp_path: Path) -> None:
        put(film, tmp_path / "a.mp4", tmp_path / "b.mp4")
        (tmp_path / "v.csv").write_text("path,captions\na.mp4,a.vtt\nb.mp4,\n")
        out = read(tmp_path, tmp_path / "v.csv")
        assert reasons(out) == {"a": f"{tmp_path}/v.csv:2: {tmp_path}/a.vtt: no such file"}


def test_files_that_are_no_videos_are_error_rows(film: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    put(film, folder / "good.mp4")
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("no video " * 100)
    write_sound(folder / "sound.mp4")
    (folder / "truncated.mp4").write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    headless = bytearray(film.read_bytes())
    start = headless.index(b"mdat") + 4
    headless[start : headless.index(b"moov")] = b"\xff" * (headless.index(b"moov") - start)
    (folder / "pictureless.mp4").write_bytes(headless)
    whole = write_film(tmp_path / "a.mkv", counting(5, 48, 64)).read_bytes()
    (folder / "frameless.mkv").write_bytes(whole[: whole.index(CLUSTER) + len(CLUSTER)])
    at = whole.index(DURATION) + len(DURATION)
    (folder / "backward.mkv").write_bytes(whole[:at] + struct.pack(">d", -1) + whole[at + 8 :])
    out = read(tmp_path, folder)
    assert ids(out) == ["good"]
    invalid = "cannot be read as a video (Invalid data found when processing input)"
    assert reasons(out) == {
        "empty": f"{folder}/empty.mp4: empty file",
        "text": f"{folder}/text.mp4: {invalid}",
        "sound": f"{folder}/sound.mp4: has no video stream (only sound)",
        "truncated": f"{folder}/truncated.mp4: {invalid}",
        "pictureless": f"{folder}/pictureless.mp4: {invalid}",
        "frameless": f"{folder}/frameless.mkv: has no pictures",
        "backward": f"{folder}/backward.mkv: is 0 s long",
    }


def test_key_follows_files_and_captions(film: Path, tmp_path: Path) -> None:
    stage = ReadVideos(videos=str(tmp_path / "in"))
    put(film, tmp_path / "in/a.mp4")
    keys = [stage.key({})]
    (tmp_path / "in/notes.txt").touch()
    assert stage.key({}) == keys[0]
    (tmp_path / "in/a.vtt").touch()
    keys.append(stage.key({}))
    (tmp_path / "in/a.vtt").write_text("WEBVTT")
    keys.append(stage.key({}))
    put(film, tmp_path / "in/b.mp4")
    keys.append(stage.key({}))
    assert len(set(keys)) == 4
