from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from models.s3d import load_s3d, parameters_digest, plain_features
from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from pipeline.store import MANIFEST
from stages.video.decode import read_clips
from stages.video.embed_clips import EmbedClips
from tests.cases import artifact
from tests.stages.video.films import corners, damage, scene, write_film, write_sound

STAGE = EmbedClips(weights="random:0", clip_frames=14, precision="float32")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a: two clips of 0.7 s and a rest; b: one; short: none; broken: one, then damage."""
    folder = tmp_path_factory.mktemp("films")
    write_film(folder / "a.mp4", scene(1, 50, 120, 160), fps=30)
    write_film(folder / "b.mp4", corners(21), fps=30)
    write_film(folder / "short.mp4", scene(3, 18, 120, 160), fps=30)
    write_film(folder / "broken.mp4", scene(4, 90, 120, 160), fps=30, options={"g": "10", "movflags": "faststart"})
    damage(folder / "broken.mp4")
    write_sound(folder / "sound.mp4")
    return folder


def embed(
    folder: Path, paths: list[Path], stage: EmbedClips = STAGE, workers: int = 0, ids: list[str] | None = None
) -> Artifact:
    table = pa.table({"video_id": ids or [p.stem for p in paths], "path": [str(p) for p in paths]})
    out = Artifact(folder / "out", "key")
    with LocalExecutor(workers=workers, max_error_rate=1) as executor:
        make(stage, {"videos": artifact(folder / "in", table, parts=2)}, out, executor)
    return out


def features(out: Artifact) -> torch.Tensor:
    column = out.read(["feature"])["feature"].combine_chunks()
    return torch.from_numpy(column.flatten().to_numpy().reshape(len(column), -1).astype(np.float32))


@pytest.fixture(scope="module")
def made(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    names = ("a", "b", "short", "broken", "sound", "none")
    return embed(tmp_path_factory.mktemp("made"), [films / f"{n}.mp4" for n in names])


class TestRows:
    def test_are_clips_that_follow_each_other(self, made: Artifact) -> None:
        rows = made.read(["video_id", "clip", "start_s", "end_s"]).to_pylist()
        assert [(r["video_id"], r["clip"]) for r in rows] == [
            ("a", 0),
            ("a", 1),
            ("b", 0),
            ("broken", 0),
        ]
        assert [rows[1]["start_s"], rows[1]["end_s"]] == pytest.approx([0.7, 1.4])

    def test_hold_the_plain_features_of_the_decoded_frames(self, made: Artifact, films: Path) -> None:
        clip = next(read_clips(str(films / "b.mp4"), STAGE.sampling()))
        expected = plain_features(load_s3d("random:0"), torch.from_numpy(clip)[None])[0]
        assert torch.allclose(features(made)[2], expected, rtol=2e-3, atol=1e-4)

    def test_thumbnail_is_the_middle_frame(self, made: Artifact) -> None:
        picture = Image.open(io.BytesIO(made.read(["thumbnail"])["thumbnail"][2].as_py()))
        assert (picture.format, picture.size) == ("JPEG", (112, 112))
        seen = [picture.getpixel(at) for at in ((28, 28), (84, 28), (28, 84), (84, 84))]
        assert np.abs(np.array(seen) - [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]).max() < 12

    def test_errors_say_what_and_where(self, made: Artifact, films: Path) -> None:
        reasons = {r["item"]: r["reason"].removeprefix(f"{films}/") for r in made.errors().to_pylist()}
        assert reasons.pop("broken").startswith("broken.mp4: broken at 0.")
        assert reasons.pop("none").endswith(f"No such file or directory: '{films}/none.mp4'")
        assert reasons == {
            "short": "short.mp4: shorter than one clip of 0.7 s",
            "sound": "sound.mp4: has no video stream (only sound)",
        }

    def test_broken_video_keeps_its_beginning(self, made: Artifact) -> None:
        (reason,) = (r["reason"] for r in made.errors().to_pylist() if r["item"] == "broken")
        assert reason.endswith("(Invalid data found when processing input); clips kept: 1")


def test_manifest_tells_the_whole_recipe(made: Artifact) -> None:
    recipe = json.loads((made.path / MANIFEST).read_text())["recipe"]
    assert recipe["weights_sha256"] == parameters_digest(load_s3d("random:0"))
    assert recipe["fps"] == 20
    assert recipe["clip_frames"] == 14
    assert recipe["mean"] == [0.43216, 0.394666, 0.37645]
    assert recipe["precision"] == "float32"
    assert recipe["decoder"].startswith("PyAV ")


@pytest.mark.slow
def test_same_bytes_with_any_number_of_workers(films: Path, made: Artifact, tmp_path: Path) -> None:
    names = ("a", "b", "short", "broken", "sound", "none")
    out = embed(tmp_path, [films / f"{n}.mp4" for n in names], workers=2)
    assert [p.read_bytes() for p in out.parts] == [p.read_bytes() for p in made.parts]


def test_without_thumbnails(films: Path, tmp_path: Path) -> None:
    out = embed(tmp_path, [films / "b.mp4"], EmbedClips(weights="random:0", clip_frames=14, thumbnail=0))
    assert out.read()["thumbnail"].to_pylist() == [None]


def test_same_path_under_two_ids(films: Path, tmp_path: Path) -> None:
    first, second = features(embed(tmp_path, [films / "b.mp4"] * 2, ids=["b", "c"]))
    assert torch.equal(first, second)


class TestWeights:
    def test_file_is_part_of_the_key(self, tmp_path: Path) -> None:
        stage = EmbedClips(weights=str(tmp_path / "s3d.pth"))
        with pytest.raises(UserError, match=r"s3d\.pth: no such file"):
            stage.key({})
        (tmp_path / "s3d.pth").write_bytes(b"one")
        key = stage.key({})
        (tmp_path / "s3d.pth").write_bytes(b"two")
        assert stage.key({}) != key

    def test_that_are_none_stop_the_run_before_any_video(self, films: Path, tmp_path: Path) -> None:
        (tmp_path / "s3d.pth").write_text("no tensors")
        with pytest.raises(UserError, match=r"s3d\.pth: not a state dict"):
            embed(tmp_path, [films / "b.mp4"], EmbedClips(weights=str(tmp_path / "s3d.pth")))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weights": "random:one"}, "weights: random:SEED takes a whole number"),
        ({"fps": 0}, "fps must lie between 0 and 240, not 0"),
        ({"clip_frames": 13}, "clip_frames must be at least 14"),
        ({"crop": 200}, "crop must be at least 224"),
        ({"short_side": 224, "crop": 256}, "short_side must be at least crop, which is 256, not 224"),
        ({"thumbnail": 225}, "thumbnail must lie between 0 and crop, which is 224, not 225"),
        ({"precision": "half"}, "precision must be auto, bfloat16 or float32, not 'half'"),
    ],
)
def test_fields_that_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        EmbedClips(**fields)
