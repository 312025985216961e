"""Which videos are learned from, watched while learning, and kept for the end."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from pipeline import Artifact, Executor, Stage, UserError
from pipeline.store import listing_digest

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, kw_only=True)
class SplitVideos(Stage):
    """Put every video into one split, before anything is learned from it: the codebook too sees training videos only.

    In   videos: video_id str (videos or features); folder (optional): the artifact ``split_file`` lies in
    Out  video_id str, split str ("train", "dev" or "test")
    """

    paths: ClassVar[frozenset[str]] = frozenset({"split_file"})
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"videos": ("video_id",), "folder": ()}
    optional: ClassVar[frozenset[str]] = frozenset({"folder"})
    writes: ClassVar[pa.Schema | None] = pa.schema([("video_id", pa.string()), ("split", pa.string())])

    dev_fraction: float = 0.05
    """Share of the videos in the dev split."""
    test_fraction: float = 0.05
    """Share of the videos in the test split."""
    seed: int = 0
    """Seeds the split. A video's split depends on seed and video_id alone: adding videos moves none."""
    split_file: str | None = None
    """CSV or Parquet file with the columns video_id and split (train, dev or test) instead of fractions; a relative
    path starts from the input "folder" where there is one."""

    def __post_init__(self) -> None:
        if min(self.dev_fraction, self.test_fraction) < 0 or self.dev_fraction + self.test_fraction > 1:
            raise UserError(
                "dev_fraction and test_fraction must be shares of the videos, at most 1 together, "
                f"not {self.dev_fraction:g} and {self.test_fraction:g}"
            )

    def key(self, input_keys: Mapping[str, str]) -> str:
        if self.split_file and "folder" not in input_keys:
            input_keys = {**input_keys, "split_file": listing_digest([self.split_file])}
        return super().key(input_keys)

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any]:
        folder = inputs["folder"].path if "folder" in inputs else Path()
        listed = read_splits(folder / self.split_file) if self.split_file else None
        parts = [[p] for p in inputs["videos"].parts]
        executor.map(partial(Splitter, self, listed), parts, out, schema=self.writes, by="video_id")
        splits = Artifact(out, "").read()["split"].to_pylist() if parts else []
        return {"videos": {split: splits.count(split) for split in SPLITS}}


class Splitter:
    """A video in, its split out."""

    def __init__(self, stage: SplitVideos, listed: Mapping[str, str] | None) -> None:
        self.stage, self.listed = stage, listed

    def __call__(self, video: pa.Table) -> pa.Table:
        video_id = video["video_id"][0].as_py()
        return pa.table({"video_id": [video_id], "split": [self._split(video_id)]})

    def _split(self, video_id: str) -> str:
        if self.listed is None:
            return split_of(video_id, self.stage.seed, self.stage.dev_fraction, self.stage.test_fraction)
        if video_id not in self.listed:
            raise ValueError(f"not listed in {self.stage.split_file}: add its split there, or leave the video out")
        return self.listed[video_id]


def split_of(video_id: str, seed: int, dev_fraction: float, test_fraction: float) -> str:
    """The split a video falls into by its own name."""
    share = int.from_bytes(hashlib.sha256(f"{seed} {video_id}".encode()).digest()[:8], "big") / 2**64
    if share < test_fraction:
        return "test"
    return "dev" if share < test_fraction + dev_fraction else "train"


def read_splits(path: Path) -> dict[str, str]:
    """The split of each video in a CSV or Parquet file. UserError where it cannot be used."""
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path, columns=["video_id", "split"])
        else:
            strings = {"video_id": pa.string(), "split": pa.string()}
            table = csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=strings))
        rows = list(zip(table["video_id"].to_pylist(), table["split"].to_pylist(), strict=True))
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not a CSV or Parquet file with the columns video_id and split ({reason})") from None
    splits: dict[str, str] = {}
    for row, (video_id, split) in enumerate(rows, start=1):
        if split not in SPLITS:
            raise UserError(
                f"{path}, row {row}: the split of '{video_id}' is '{split}', not one of {', '.join(SPLITS)}"
            )
        if splits.setdefault(video_id, split) != split:
            raise UserError(f"{path}, row {row}: '{video_id}' is in '{split}' here and in '{splits[video_id]}' before")
    return splits


def split_by_video(splits: Artifact) -> dict[str, str]:
    """Each video's split, from what SplitVideos wrote."""
    table = splits.read(["video_id", "split"])
    return dict(zip(table["video_id"].to_pylist(), table["split"].to_pylist(), strict=True))
