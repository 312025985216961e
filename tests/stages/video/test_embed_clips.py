from __future__ import annotations

import io
import json
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from models.precision import best_device
from models.s3d import load_s3d, parameters_digest, plain_features
from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from pipeline.store import MANIFEST
from stages.video import decode, embed_clips
from stages.video.decode import Frames, read_clips
from stages.video.embed_clips import BATCH, EmbedClips, S3DEmbedder
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

    def test_are_of_pictures_normalised_as_the_weights_ask(self, films: Path, tmp_path: Path) -> None:
        mean, std = (0.5, 0.25, 0.125), (0.5, 1.0, 2.0)
        stage = replace(STAGE, mean=mean, std=std)
        out = embed(tmp_path, [films / "b.mp4"], stage)
        clip = torch.from_numpy(next(read_clips(str(films / "b.mp4"), stage.sampling())))[None]
        network = load_s3d("random:0")
        expected = plain_features(network, clip, mean, std)
        assert torch.allclose(features(out), expected, rtol=2e-3, atol=1e-4)
        assert not torch.allclose(features(out), plain_features(network, clip), rtol=2e-2, atol=1e-3)
        recipe = out.manifest["recipe"]
        assert (recipe["mean"], recipe["std"]) == (list(mean), list(std))
        assert stage.key({}) != STAGE.key({})

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
    assert recipe["precision"] == ["float32 on the CPU"]
    assert recipe["decoder"].startswith("PyAV ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="about the CPU")
class TestPrecision:
    def on_a_machine(self, folder: Path, paths: list[Path], fast: bool, monkeypatch: pytest.MonkeyPatch) -> Artifact:
        """One with units for bfloat16, or without."""
        monkeypatch.setattr(embed_clips, "has_fast_bf16", lambda device: fast)
        return embed(folder, paths, replace(STAGE, precision="auto"))

    @pytest.mark.parametrize(("fast", "ran"), [(True, "bfloat16 on the CPU"), (False, "float32 on the CPU")])
    def test_auto_is_bfloat16_where_that_is_fast(
        self, films: Path, made: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: bool, ran: str
    ) -> None:
        out = self.on_a_machine(tmp_path, [films / "b.mp4"], fast, monkeypatch)
        assert out.manifest["recipe"]["precision"] == [ran]
        assert torch.equal(features(out)[0], features(made)[2]) is not fast
        assert torch.allclose(features(out)[0], features(made)[2], rtol=0.1, atol=0.01)

    def test_recipe_names_all_that_a_run_which_moved_was_computed_in(
        self, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        paths = [films / "a.mp4", films / "b.mp4"]
        out = self.on_a_machine(tmp_path, paths, False, monkeypatch)
        (out.path / MANIFEST).unlink()
        out.parts[1].unlink()
        capsys.readouterr()
        out = self.on_a_machine(tmp_path, paths, True, monkeypatch)
        assert out.manifest["recipe"]["precision"] == ["bfloat16 on the CPU", "float32 on the CPU"]
        said = " ".join(capsys.readouterr().err.split())
        assert "computed in bfloat16 on the CPU, others in float32 on the CPU: set precision" in said


class TestDecodingAhead:
    def row(self, path: Path) -> pa.Table:
        return pa.table({"video_id": [path.stem], "path": [str(path)]})

    def test_of_the_next_video_begins_with_prefetch(self, films: Path, tmp_path: Path) -> None:
        path = Path(shutil.copy(films / "b.mp4", tmp_path))
        before = threading.active_count()
        embedder = S3DEmbedder(STAGE)
        embedder.prefetch(self.row(path))
        while threading.active_count() > before:
            time.sleep(0.01)
        path.unlink()
        assert len(embedder(self.row(path))) == 1

    def test_stops_at_two_batches(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write_film(tmp_path / "long.mp4", scene(1, 280, 64, 64), fps=20)
        decoded: list[int] = []

        def counted(*arguments: Any) -> Iterator[Frames]:
            for clip in read_clips(*arguments):
                decoded.append(len(clip))
                yield clip

        monkeypatch.setattr(decode, "read_clips", counted)
        embedder = S3DEmbedder(replace(STAGE, thumbnail=0))
        embedder.prefetch(self.row(path))
        ahead = 2 * BATCH[best_device().type] + 1  # the last waits for room
        while len(decoded) < min(ahead, 20):
            time.sleep(0.01)
        time.sleep(0.5)
        assert len(decoded) == min(ahead, 20)
        assert len(embedder(self.row(path))) == len(decoded) == 20


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
        ({"mean": (0.5, 0.5)}, r"mean must be three numbers, of red, green and blue, not \[0\.5, 0\.5\]"),
        ({"std": (1.0, 0.0, 1.0)}, "std must be three numbers above 0"),
        ({"precision": "half"}, "precision must be auto, bfloat16 or float32, not 'half'"),
    ],
)
def test_fields_that_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        EmbedClips(**fields)
