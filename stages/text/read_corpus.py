"""Plain text as documents of sentences, for pretraining."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa

from pipeline import Artifact, Executor, Rejected, Stage, UserError
from pipeline.store import listing_digest
from stages.text.read_sentences import Block, lines_that_begin_in
from stages.text.source_files import as_parts, find_files

BLOCK_BYTES = 16 << 20
"""A longer file is read by several workers, each the documents after the empty lines in its block. Shorter ones are
grouped into parts of at least this much."""
MOST_SENTENCES = 4096
"""Sentences of a row; a longer document becomes several."""


@dataclass(frozen=True, kw_only=True)
class ReadCorpus(Stage):
    """Read plain-text files, a sentence a line, as documents.

    Out  id str (file:byte where it begins), sentences list<str>, split str ("train" | "dev")

    An empty line ends a document, as in the input of google-research/bert's create_pretraining_data. Lines that are
    not UTF-8 become error rows.
    """

    version: ClassVar[str] = "2"
    paths: ClassVar[frozenset[str]] = frozenset({"texts"})
    writes: ClassVar[pa.Schema] = pa.schema(
        [("id", pa.string()), ("sentences", pa.list_(pa.string())), ("split", pa.string())]
    )

    texts: str
    """A text file, a folder (its .txt files, recursively) or a glob."""
    documents: Literal["empty_lines", "files"] = "empty_lines"
    """What parts documents: empty lines and ends of files, or ends of files alone."""
    dev_fraction: float = 0.01
    """Share of the documents that is held out to measure on."""
    seed: int = 0
    """Chooses them."""

    def __post_init__(self) -> None:
        if not 0 <= self.dev_fraction < 1:
            raise UserError("dev_fraction is at least 0 and less than 1")

    def fingerprint(self) -> str:
        return listing_digest(self._files())

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        parts = as_parts(self._blocks(), BLOCK_BYTES)
        executor.map(partial(CorpusReader, self), parts, out, schema=self.writes)

    def _files(self) -> list[Path]:
        return find_files(self.texts, (".txt",))

    def _blocks(self) -> Iterator[Block]:
        for path in self._files():
            size = path.stat().st_size
            step = BLOCK_BYTES if self.documents == "empty_lines" else max(1, size)
            for start in range(0, size, step):
                yield Block(str(path), start, min(size, start + step))


class CorpusReader:
    """Blocks of files in, their documents out: those after an empty line that begins in one, or at the file's start."""

    def __init__(self, stage: ReadCorpus) -> None:
        self.stage = stage

    def __call__(self, blocks: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        rows: list[dict[str, object]] = []
        rejected: list[Rejected] = []
        for block in blocks.to_pylist():
            path = Path(block["path"])
            for at, sentences in self._documents(path, block["start"], block["end"], rejected):
                id_ = f"{path.name}:{at}"
                rows.append({"id": id_, "sentences": sentences, "split": self._split(id_)})
        return pa.Table.from_pylist(rows, ReadCorpus.writes), rejected

    def _documents(self, path: Path, start: int, end: int, rejected: list[Rejected]) -> Iterator[tuple[int, list[str]]]:
        """Where each document begins, and its sentences."""
        mine, at = start == 0, 0
        sentences: list[str] = []
        for offset, line in lines_that_begin_in(path, start, path.stat().st_size):
            if not line.strip() and self.stage.documents == "empty_lines":
                if sentences:
                    yield at, sentences
                    sentences = []
                mine = True
            if offset >= end and not (mine and line.strip()):
                return
            text = self._text(path, offset, line, rejected) if mine else None
            if text:
                if len(sentences) == MOST_SENTENCES:
                    yield at, sentences
                    sentences = []
                at = at if sentences else offset
                sentences.append(text)
        if sentences:
            yield at, sentences

    @staticmethod
    def _text(path: Path, offset: int, line: bytes, rejected: list[Rejected]) -> str | None:
        try:
            return line.decode("utf-8-sig" if offset == 0 else "utf-8").strip()
        except UnicodeDecodeError:
            rejected.append(Rejected(f"{path.name}:{offset}", f"{path}: the line at byte {offset} is not UTF-8"))
            return None

    def _split(self, id_: str) -> str:
        chosen = zlib.crc32(f"{self.stage.seed} {id_}".encode()) < self.stage.dev_fraction * 2**32
        return "dev" if chosen else "train"
