"""The kitchen as an artifact: videos, captions, labels, splits."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import av
import pysubs2
import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.video.render_kitchen import RenderKitchen

SMALL = RenderKitchen(
    train=2,
    dev=1,
    test=1,
    scenes=1,
    held_out=4,
    verbs=("cut", "wash", "fry"),
    objects=("plum", "lemon", "onion"),
    seed=4,
)


def render(stage: RenderKitchen, folder: Path, workers: int = 0) -> Artifact:
    artifact = Artifact(folder, "key")
    with LocalExecutor(workers=workers) as executor:
        make(stage, {}, artifact, executor)
    return artifact


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return render(SMALL, tmp_path_factory.mktemp("kitchen"))


def test_every_video_is_there_and_as_long_as_said(kitchen: Artifact) -> None:
    table = kitchen.read().to_pylist()
    assert [v["video_id"] for v in table] == ["train_0000", "train_0001", "dev_0000", "test_0000"]
    for video in table:
        assert video["path"] == f"videos/{video['video_id']}.mp4"
        with av.open(str(kitchen.path / video["path"])) as container:
            assert container.duration / av.time_base == pytest.approx(video["duration_s"], abs=0.01)
            assert not container.streams.audio


def test_captions_lie_beside_the_videos_and_within_them(kitchen: Artifact) -> None:
    for video in kitchen.read().to_pylist():
        cues = pysubs2.load(str((kitchen.path / video["path"]).with_suffix(".vtt")))
        assert cues[0].start == 0
        assert cues[-1].end == round(video["duration_s"] * 1000)
        assert all(cue.start < cue.end and cue.text for cue in cues)


def test_a_label_is_the_time_of_the_sentence_that_names_it(kitchen: Artifact) -> None:
    labels = rows(kitchen.path / "labels.csv")
    assert len(labels) == 4
    for label in labels:
        cues = pysubs2.load(str(kitchen.path / "videos" / f"{label['video_id']}.vtt"))
        (cue,) = [c for c in cues if f"{label['verb']} the {label['object']}" in c.text]
        assert (cue.start, cue.end) == (round(float(label["start_s"]) * 1000), round(float(label["end_s"]) * 1000))


def test_the_split_file_names_each_video_once(kitchen: Artifact) -> None:
    split = {row["video_id"]: row["split"] for row in rows(kitchen.path / "split.csv")}
    assert split == {v["video_id"]: v["split"] for v in kitchen.read().to_pylist()}
    assert Counter(split.values()) == {"train": 2, "dev": 1, "test": 1}


def test_held_out_pairs_are_never_in_training(kitchen: Artifact) -> None:
    held_out = {(row["verb"], row["object"]) for row in rows(kitchen.path / "held_out.csv")}
    labels = rows(kitchen.path / "labels.csv")
    seen = {(row["verb"], row["object"]) for row in labels if not row["video_id"].startswith("test")}
    assert len(held_out) == 4
    assert not held_out & seen
    assert kitchen.manifest["held_out"] == [
        f"{row['verb']} {row['object']}" for row in rows(kitchen.path / "held_out.csv")
    ]


def test_worker_processes_write_the_same_bytes_with_sound(tmp_path: Path) -> None:
    stage = RenderKitchen(train=1, dev=0, test=0, scenes=1, sound=True)
    one, two = render(stage, tmp_path / "one"), render(stage, tmp_path / "two", workers=2)
    files = sorted(p.relative_to(one.path) for p in one.path.rglob("*") if p.is_file() and p.name != "manifest.json")
    assert len(files) == 1 + 3 + 2
    for file in files:
        assert (one.path / file).read_bytes() == (two.path / file).read_bytes(), file
    with av.open(str(one.path / "videos" / "train_0000.mp4")) as container:
        assert container.streams.audio


def test_a_video_does_not_depend_on_how_many_there_are(kitchen: Artifact, tmp_path: Path) -> None:
    fewer = render(RenderKitchen(**{**vars(SMALL), "train": 1, "dev": 0, "test": 0}), tmp_path / "fewer")
    name = "videos/train_0000.mp4"
    assert (fewer.path / name).read_bytes() == (kitchen.path / name).read_bytes()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"verbs": ("cut", "frie")}, "no verb 'frie'"),
        ({"objects": ("plum",)}, "at least two"),
        ({"objects": ("plum", "plum")}, "two different"),
        ({"scenes": 0}, "scenes must be at least 1, not 0"),
        ({"train": -1}, "must count videos"),
        ({"train": 0, "dev": 0, "test": 0}, "must count videos"),
        ({"held_out": 25}, "0 … 24"),
    ],
)
def test_fields_out_of_range_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        RenderKitchen(**fields)
