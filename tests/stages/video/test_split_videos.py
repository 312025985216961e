"""Who is in which split."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from pipeline.store import MANIFEST, write_json, write_part
from stages.video.split_videos import SplitVideos, split_of


def split(folder: Path, *videos: str, **fields: Any) -> Artifact:
    write_part(folder / "videos" / "part-00000.parquet", pa.table({"video_id": [v for v in videos for _ in range(2)]}))
    write_json(folder / "videos" / MANIFEST, {"key": "videos"})
    inputs = {"videos": Artifact(folder / "videos", "videos")}
    if (folder / "folder").is_dir():
        inputs["folder"] = Artifact(folder / "folder", "folder")
    out = Artifact(folder / "out", "key")
    make(SplitVideos(**fields), inputs, out, LocalExecutor())
    return out


def test_splits_have_the_asked_shares_and_stay_when_videos_are_added() -> None:
    names = [f"video {i}" for i in range(20_000)]
    before = {name: split_of(name, 0, 0.1, 0.2) for name in names}
    shares = {split: n / len(names) for split, n in Counter(before.values()).items()}
    assert shares == pytest.approx({"train": 0.7, "dev": 0.1, "test": 0.2}, abs=0.01)
    assert {name: split_of(name, 1, 0.1, 0.2) for name in names} != before
    assert Counter(split_of(name, 0, 0.0, 0.0) for name in names) == {"train": 20_000}
    assert split_of("video 22", 0, 0.05, 0.05) == "dev"
    assert split_of("video 10", 0, 0.05, 0.05) == "test"


def test_every_video_has_one_row_and_the_splits_are_counted(tmp_path: Path) -> None:
    names = [f"v{i}" for i in range(50)]
    out = split(tmp_path, *names, dev_fraction=0.2, test_fraction=0.3)
    rows = {r["video_id"]: r["split"] for r in out.read().to_pylist()}
    assert out.rows() == 50
    assert rows == {name: split_of(name, 0, 0.2, 0.3) for name in names}
    assert out.manifest["videos"] == Counter(rows.values())


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_file_gives_the_split(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"split.{suffix}"
    if suffix == "csv":
        path.write_text("split,video_id,note\ntest,007,x\ndev,b,\n")
    else:
        pq.write_table(pa.table({"video_id": ["007", "b"], "split": ["test", "dev"]}), path)
    out = split(tmp_path, "007", "b", "unlisted", split_file=str(path))
    assert [(r["video_id"], r["split"]) for r in out.read().to_pylist()] == [("007", "test"), ("b", "dev")]
    errors = out.errors()
    assert errors is not None
    assert errors["item"].to_pylist() == ["unlisted"]
    assert errors["reason"][0].as_py().startswith(f"not listed in {path}")


def test_a_split_file_may_lie_in_another_artifact(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "split.csv").write_text("video_id,split\nv,dev\n")
    out = split(tmp_path, "v", split_file="split.csv")
    assert out.read()["split"].to_pylist() == ["dev"]
    assert SplitVideos(split_file="split.csv").key({"videos": "t", "folder": "f"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video_id,split\nv,training\n", r"split\.csv, row 1: the split of 'v' is 'training', not one of train, dev"),
        ("video_id,split\nv,dev\nv,test\n", r"row 2: 'v' is in 'test' here and in 'dev' before"),
        ("video,split\nv,dev\n", "not a CSV or Parquet file with the columns video_id and split"),
        ("", "not a CSV or Parquet file with the columns video_id and split"),
    ],
)
def test_unusable_split_files_are_told_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(UserError, match=message) as error:
        split(tmp_path, "v", split_file=str(tmp_path / "split.csv"))
    assert "\n" not in str(error.value)


def test_a_missing_split_file_is_found_while_planning_and_a_changed_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    stage = SplitVideos(split_file=str(path))
    with pytest.raises(UserError, match=r"split\.csv: no such file or directory"):
        stage.key({"videos": "t"})
    path.write_text("video_id,split\nv,dev\n")
    before = stage.key({"videos": "t"})
    path.write_text("video_id,split\nv,train\n")
    assert stage.key({"videos": "t"}) != before


@pytest.mark.parametrize("fields", [{"dev_fraction": -0.1}, {"dev_fraction": 0.6, "test_fraction": 0.5}])
def test_fields_out_of_range_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=str(next(iter(fields)))):
        SplitVideos(**fields)
