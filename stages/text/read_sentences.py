"""Plain text, a sentence a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

import pyarrow as pa

from pipeline import Artifact, Executor, Rejected, Stage, UserError
from pipeline.store import listing_digest
from stages.text.source_files import as_parts, find_files
from stages.video.split_videos import split_of

BLOCK_BYTES = 16 << 20
"""A longer file is read by several workers, in blocks of whole lines."""
PART_BYTES = 16 << 20
"""Files are grouped into parts of at least this much."""


@dataclass(frozen=True, kw_only=True)
class ReadSentences(Stage):
    """Read plain-text files, a sentence a line, as segments without video: further text for the text-only regime.

    Out  video_id str (the file), text str, tokens list<uint16> (empty), split str ("train" | "dev")

    A line's split follows from seed and text alone: equal lines are never on both sides.
    """

    version: ClassVar[str] = "3"
    paths: ClassVar[frozenset[str]] = frozenset({"texts"})
    writes: ClassVar[pa.Schema] = pa.schema(
        [
            ("video_id", pa.string()),
            ("text", pa.string()),
            ("tokens", pa.list_(pa.uint16())),
            ("split", pa.string()),
        ]
    )

    texts: str
    """A text file, a folder (its .txt files, recursively) or a glob."""
    dev_fraction: float = 0.01
    """Share of the lines that is held out to measure on."""
    seed: int = 0
    """Chooses them."""

    def __post_init__(self) -> None:
        if not 0 <= self.dev_fraction < 1:
            raise UserError("dev_fraction is at least 0 and less than 1")

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        parts = as_parts(self._blocks(), PART_BYTES)
        executor.map(partial(SentenceReader, self), parts, out, schema=self.writes)

    def fingerprint(self) -> str:
        return listing_digest(self._files())

    def _files(self) -> list[Path]:
        return find_files(self.texts, (".txt",))

    def _blocks(self) -> Iterator[Block]:
        for path in self._files():
            size = path.stat().st_size
            for start in range(0, size, BLOCK_BYTES):
                yield Block(str(path), start, min(size, start + BLOCK_BYTES))


class Block(NamedTuple):
    """Bytes [start, end) of a file."""

    path: str
    start: int
    end: int


class SentenceReader:
    """Blocks of files in, the lines that begin in them out."""

    def __init__(self, stage: ReadSentences) -> None:
        self.stage = stage

    def __call__(self, blocks: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        ids: list[str] = []
        texts: list[str] = []
        rejected = []
        for block in blocks.to_pylist():
            path = Path(block["path"])
            for at, line in lines_that_begin_in(path, block["start"], block["end"]):
                try:
                    text = line.decode("utf-8-sig" if at == 0 else "utf-8").strip()
                except UnicodeDecodeError:
                    rejected.append(Rejected(path.name, f"{path}: the line at byte {at} is not UTF-8"))
                    continue
                if text:
                    ids.append(path.name)
                    texts.append(text)
        seed, dev_fraction = self.stage.seed, self.stage.dev_fraction
        table = pa.table(
            {
                "video_id": ids,
                "text": texts,
                "tokens": pa.array([[]] * len(texts), pa.list_(pa.uint16())),
                "split": [split_of(text, seed, dev_fraction, test_fraction=0.0) for text in texts],
            },
            ReadSentences.writes,
        )
        return table, rejected


def lines_that_begin_in(path: Path, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of the lines whose first byte lies in [start, end)."""
    with path.open("rb") as file:
        if start:
            file.seek(start - 1)
            file.readline()
        while (at := file.tell()) < end and (line := file.readline()):
            yield at, line
