"""The source of the orchard that the command line is tested in."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from pipeline import Artifact, Executor, Stage, UserError
from pipeline.store import listing_digest, write_part


@dataclass(frozen=True, kw_only=True)
class Pick(Stage):
    """Read fruits from a text file, one a line.

    Out  fruit str, weight_g float64, taste float16[64], photo binary
    """

    writes: ClassVar[pa.Schema] = pa.schema(
        [
            ("fruit", pa.string()),
            ("weight_g", pa.float64()),
            ("taste", pa.list_(pa.float16(), 64)),
            ("photo", pa.binary()),
        ]
    )

    trees: str
    """Path of the text file."""
    at_most: int | None = None
    """Fruits to pick; all where it is null."""
    sizes: tuple[str, ...] = ("small", "large")
    """What may be picked."""

    def __post_init__(self) -> None:
        if self.at_most == 0:
            raise UserError("Pick: at_most must be at least 1")

    def fingerprint(self) -> str:
        return listing_digest([self.trees])

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> dict[str, object]:
        fruits = Path(self.trees).read_text().split()[: self.at_most]
        rows = [
            {"fruit": f, "weight_g": 10.0 * len(f), "taste": np.full(64, 0.5, np.float16), "photo": b"\xff" * 2100}
            for f in fruits
        ]
        write_part(out / "part-00000.parquet", pa.Table.from_pylist(rows, self.writes))
        return {"basket": {"material": "willow", "handles": 2}}
