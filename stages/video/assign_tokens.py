"""Clip features become visual words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa

from models.codebook import Codebook
from pipeline import Artifact, Executor, Rejected, Stage, UserError
from pipeline.store import part_schema
from stages.video.codebook.vectors import as_matrix

CLIP = [("video_id", pa.string()), ("clip", pa.int32()), ("start_s", pa.float64()), ("end_s", pa.float64())]
TOKENS = pa.schema([*CLIP, ("token", pa.uint16())])
ROWS = 65536
"""Clips searched at a time: the more, the more of them share a node."""


@dataclass(frozen=True, kw_only=True)
class AssignTokens(Stage):
    """Give each clip the visual word of its feature: a leaf of the codebook.

    In   features: video_id str, clip int32, start_s, end_s float64, feature fixed_size_list<float16>[width]
         codebook: what FitCodebook wrote
    Out  video_id str, clip int32, start_s, end_s float64, token uint16 (its digits in the codebook's base are the path
         from the root: models.codebook.token_path)

    Sun et al. 2019, section 3.1. A clip whose feature is not finite becomes an error row.
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"features": (*TOKENS.names[:-1], "feature"), "codebook": ()}
    writes: ClassVar[pa.Schema | None] = TOKENS

    assign: Literal["tree", "flat"] = "tree"
    """tree: descend to the nearest child at each level, as the codebook was fit; flat: the nearest of all leaves."""

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any]:
        codebook = inputs["codebook"].path
        width = Codebook.load(codebook).width
        parts = inputs["features"].parts
        for part in parts:
            have = part_schema(part).field("feature").type
            if have != pa.list_(pa.float16(), width):
                raise UserError(f"{part}: feature is {have}, but the codebook {codebook} was fit on {width} float16")
        executor.map(partial(Assigner, codebook, self.assign), [[p] for p in parts], out, schema=self.writes)
        return {"codebook": str(codebook)}


class Assigner:
    """Features in, tokens out."""

    def __init__(self, codebook: Path, assign: Literal["tree", "flat"]) -> None:
        self.codebook = Codebook.load(codebook)
        self.assign = assign

    def __call__(self, features: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        done, rejected = [TOKENS.empty_table()], []
        search = self.codebook.assign_tree if self.assign == "tree" else self.codebook.assign_flat
        for batch in features.select([*TOKENS.names[:-1], "feature"]).combine_chunks().to_batches(ROWS):
            vectors, finite = as_matrix(batch["feature"])
            clips = pa.Table.from_batches([batch.select(TOKENS.names[:-1])])
            rejected += [
                Rejected(f"{row['video_id']}, clip {row['clip']}", "its feature is missing or not finite")
                for row in clips.filter(~finite).to_pylist()
            ]
            tokens = pa.array(search(self.codebook.scaled(vectors[finite])), pa.uint16())
            done.append(clips.filter(finite).append_column("token", tokens))
        return pa.concat_tables(done), rejected
