"""Labelled stretches of video, from a file."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import Artifact, Executor, Rejected, Stage, UserError
from pipeline.store import listing_digest
from stages.video.split_videos import SPLITS, split_by_video

LABELS = pa.schema(
    [
        ("video_id", pa.string()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("verb", pa.string()),
        ("object", pa.string()),
    ]
)
UNREAD = pa.schema([("line", pa.int64()), *((name, pa.string()) for name in LABELS.names)])
"""Rows as they stand in the file: text, or null where a cell is missing."""


@dataclass(frozen=True, kw_only=True)
class ReadSegments(Stage):
    """Read labelled stretches of video: what is done (verb) to what (object), from when to when.

    In   folder (optional): the artifact that ``labels`` lies in; splits (optional): the videos there are
    Out  video_id str, start_s float64, end_s float64, verb str, object str; in the order of the file

    A row with an empty cell, a time that is no number, an end that is not after its start or a video that is not among
    ``splits`` becomes an error row that names file and line. UserError where all of them lie in training videos.
    """

    version: ClassVar[str] = "2"
    paths: ClassVar[frozenset[str]] = frozenset({"labels"})
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"folder": (), "splits": ("video_id", "split")}
    optional: ClassVar[frozenset[str]] = frozenset({"folder", "splits"})
    writes: ClassVar[pa.Schema | None] = LABELS

    labels: str
    """CSV (with a header) or Parquet file with the columns video_id, start_s, end_s (seconds), verb and object; a
    relative path starts from the input "folder" where there is one."""

    def key(self, input_keys: Mapping[str, str]) -> str:
        if "folder" not in input_keys:
            input_keys = {**input_keys, "labels": listing_digest([self.labels])}
            read_rows(Path(self.labels))
        return super().key(input_keys)

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any]:
        folder = inputs["folder"].path if "folder" in inputs else Path()
        rows = pa.Table.from_pylist(read_rows(folder / self.labels), UNREAD)
        split_of = split_by_video(inputs["splits"]) if "splits" in inputs else None
        executor.map(partial(LabelChecker, self.labels, split_of), [[rows]], out, schema=LABELS)
        if split_of is None:
            return {}
        found = Counter(split_of[video_id] for video_id in Artifact(out, "").read()["video_id"].to_pylist())
        if found["train"] and found.total() == found["train"]:
            raise UserError(
                f"{self.labels}: all {found.total():,} labelled segments lie in training videos, and none is left to "
                "test on: name test videos in a split_file, or raise the splits' test_fraction"
            )
        return {"segments": {split: found[split] for split in SPLITS}}


class LabelChecker:
    """Rows as they stand in the file in, labelled segments out. ``known``: the videos there are."""

    def __init__(self, name: str, known: Mapping[str, str] | None) -> None:
        self.name = name
        self.known = known

    def __call__(self, rows: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        good, rejected = [], []
        for row in rows.to_pylist():
            try:
                segment = labelled(row)
                if self.known is not None and segment["video_id"] not in self.known:
                    example = f", such as '{min(self.known)}'" if self.known else ""
                    raise ValueError(
                        f"there is no video '{segment['video_id']}': ids are paths below the folder of the videos, "
                        f"without extension{example}"
                    )
                good.append(segment)
            except ValueError as error:
                rejected.append(Rejected(f"{self.name}:{row['line']}", str(error)))
        return pa.Table.from_pylist(good, LABELS), rejected


def labelled(row: Mapping[str, str | None]) -> dict[str, str | float]:
    """The row with its times as numbers. ValueError says what is wrong with it."""
    cells = {name: (row[name] or "").strip() for name in LABELS.names}
    for name, cell in cells.items():
        if not cell:
            raise ValueError(f"{name} is missing")
    times = {}
    for name in ("start_s", "end_s"):
        try:
            times[name] = float(cells[name])
        except ValueError:
            raise ValueError(f"{name} is '{cells[name]}', not a number of seconds") from None
        if not math.isfinite(times[name]) or times[name] < 0:
            raise ValueError(f"{name} is '{cells[name]}', not a time in a video")
    if times["end_s"] <= times["start_s"]:
        raise ValueError(f"end_s ({cells['end_s']}) is not after start_s ({cells['start_s']})")
    return {**cells, **times}


def read_rows(path: Path) -> list[dict[str, object]]:
    """The rows of a CSV or Parquet file, as text, each with its line (in a Parquet file: its row, from 1)."""
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            rows = list(enumerate(table.to_pylist(), start=1))
            columns = table.column_names
        else:
            with path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file)
                columns = list(reader.fieldnames or [])
                rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowInvalid) as error:
        raise UserError(f"{path}: cannot be read as CSV or Parquet ({' '.join(str(error).split())})") from None
    missing = [name for name in LABELS.names if name not in columns]
    if missing:
        raise UserError(
            f"{path}: the column {missing[0]} is missing (it has {', '.join(columns) or 'no header'}; "
            f"needed are {', '.join(LABELS.names)})"
        )
    return [{"line": line, **{n: None if row[n] is None else str(row[n]) for n in LABELS.names}} for line, row in rows]
