"""Label files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from pipeline.store import write_part
from stages.video.read_segments import LABELS, ReadSegments

HEADER = "video_id,start_s,end_s,verb,object\n"


def read(labels: Path | str, out: Path, **inputs: Artifact) -> Artifact:
    stage = ReadSegments(labels=str(labels))
    stage.key({name: artifact.key for name, artifact in inputs.items()})
    artifact = Artifact(out, "key")
    with LocalExecutor() as executor:
        make(stage, inputs, artifact, executor)
    return artifact


def errors(artifact: Artifact) -> list[tuple[str, str]]:
    table = artifact.errors()
    return [] if table is None else list(zip(table["item"].to_pylist(), table["reason"].to_pylist(), strict=True))


def test_csv_rows_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text('object,verb,end_s,start_s,video_id,note\nred onion,cut, 4.5,1,b,"two\nlines"\negg,fry,9,4.5,a,\n')
    artifact = read(path, tmp_path / "out")
    assert artifact.read().schema.equals(LABELS)
    assert artifact.read().to_pylist() == [
        {"video_id": "b", "start_s": 1.0, "end_s": 4.5, "verb": "cut", "object": "red onion"},
        {"video_id": "a", "start_s": 4.5, "end_s": 9.0, "verb": "fry", "object": "egg"},
    ]
    assert errors(artifact) == []


def test_parquet_gives_the_same_as_csv(tmp_path: Path) -> None:
    row = {"video_id": "a", "start_s": 0.1, "end_s": 1 / 3, "verb": "cut", "object": "egg"}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "labels.parquet")
    assert read(tmp_path / "labels.parquet", tmp_path / "out").read().to_pylist() == [row]


def test_a_malformed_row_is_an_error_row_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    good = "a,0,1,cut,egg\n"
    bad = [
        "a,one,2,cut,egg\n",
        "a,3,2,cut,egg\n",
        "a,3,3,cut,egg\n",
        "a,1,2,cut\n",
        "a,1,2,,egg\n",
        "a,1,nan,cut,egg\n",
    ]
    path.write_text(HEADER + "".join(good + row for row in bad) + good)
    artifact = read(path, tmp_path / "out")
    assert artifact.rows() == 7
    assert errors(artifact) == [
        (f"{path}:3", "start_s is 'one', not a number of seconds"),
        (f"{path}:5", "end_s (2) is not after start_s (3)"),
        (f"{path}:7", "end_s (3) is not after start_s (3)"),
        (f"{path}:9", "object is missing"),
        (f"{path}:11", "verb is missing"),
        (f"{path}:13", "end_s is 'nan', not a time in a video"),
    ]


def test_a_missing_column_is_said_with_the_columns_there_are(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("video_id,start_s,end_s,label\na,0,1,cut\n")
    with pytest.raises(UserError, match="the column verb is missing"):
        read(tmp_path / "labels.csv", tmp_path / "out")


def test_a_missing_file_is_said_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        ReadSegments(labels=str(tmp_path / "labels.csv")).key({})


def test_a_file_that_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "labels.parquet").write_text("no parquet")
    with pytest.raises(UserError, match="cannot be read as CSV or Parquet"):
        read(tmp_path / "labels.parquet", tmp_path / "out")


def test_an_edited_file_has_another_key(tmp_path: Path) -> None:
    stage = ReadSegments(labels=str(tmp_path / "labels.csv"))
    (tmp_path / "labels.csv").write_text(HEADER)
    before = stage.key({})
    (tmp_path / "labels.csv").write_text(HEADER + "a,0,1,cut,egg\n")
    assert stage.key({}) != before


def test_a_header_without_a_column_is_said_before_any_work(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("video_id,start_s,end_s,verb\n")
    with pytest.raises(UserError, match="the column object is missing"):
        ReadSegments(labels=str(path)).key({})


def splits(folder: Path, **split_of: str) -> Artifact:
    table = pa.table({"video_id": list(split_of), "split": list(split_of.values())})
    folder.mkdir()
    write_part(folder / "part-00000.parquet", table)
    return Artifact(folder, "splits")


def test_a_video_that_is_not_there_is_an_error_row(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(HEADER + "a,0,1,cut,egg\na.mp4,1,2,cut,egg\nb,0,1,fry,egg\n")
    artifact = read(path, tmp_path / "out", splits=splits(tmp_path / "splits", a="train", b="test", c="dev"))
    assert artifact.read()["video_id"].to_pylist() == ["a", "b"]
    assert artifact.manifest["segments"] == {"train": 1, "dev": 0, "test": 1}
    assert errors(artifact) == [
        (
            f"{path}:3",
            "there is no video 'a.mp4': ids are paths below the folder of the videos, without extension, such as 'a'",
        )
    ]


def test_labels_of_training_videos_alone_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(HEADER + "a,0,1,cut,egg\n")
    with pytest.raises(UserError, match="none is left to test on: name test videos in a split_file"):
        read(path, tmp_path / "out", splits=splits(tmp_path / "splits", a="train", b="test"))


def test_a_relative_path_starts_from_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "kitchen"
    folder.mkdir()
    (folder / "labels.csv").write_text(HEADER + "a,0,1,cut,egg\n")
    assert read("labels.csv", tmp_path / "out", folder=Artifact(folder, "k")).rows() == 1
