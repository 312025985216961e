"""Which videos are learned from, watched while learning, and kept for the end."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from pipeline import UserError

SPLITS = ("train", "dev", "test")


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
