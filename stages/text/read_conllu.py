"""Treebanks in CoNLL-U."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pyarrow as pa

from models.conllu import ConlluError, parse
from pipeline import Artifact, Executor, Rejected, Stage, UserError
from pipeline.store import listing_digest
from stages.text.source_files import find_files

BLOCK_BYTES = 1 << 20
"""A longer file is read by several workers, in blocks of whole sentences; shorter ones share a part."""
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, kw_only=True)
class ReadConllu(Stage):
    """Read treebanks in CoNLL-U, any number of them as one.

    Out  id str (file:line), treebank str (the file's name up to "-ud-"), split str, conllu str (the sentence as it
         stands in the file: comments, multiword tokens, empty nodes and all ten columns), and of its syntactic words
         words, lemmas, upos, xpos, feats, deprels list<str>, heads list<int32> (0 is the root; -1 where none is given)

    A sentence with a line that is no CoNLL-U, or whose heads are no tree with one root, is an error row with the
    line's number. Sentences without a tree ("_" for every HEAD) are read: they can be parsed.
    """

    paths: ClassVar[frozenset[str]] = frozenset({"dev", "test", "train"})
    writes: ClassVar[pa.Schema] = pa.schema(
        [
            *((name, pa.string()) for name in ("id", "treebank", "split", "conllu")),
            *((name, pa.list_(pa.string())) for name in ("words", "lemmas", "upos", "xpos", "feats")),
            ("heads", pa.list_(pa.int32())),
            ("deprels", pa.list_(pa.string())),
        ]
    )

    train: str | None = None
    """Files to train on: a file, a folder (its .conllu files, recursively) or a glob; several with commas between."""
    dev: str | None = None
    """Files to select on, likewise."""
    test: str | None = None
    """Files to test on or to parse, likewise."""

    def __post_init__(self) -> None:
        if not any((self.train, self.dev, self.test)):
            raise UserError("no treebank: give files of one split at least (train, dev, test)")

    def fingerprint(self) -> str:
        return listing_digest(path for _, path in self._files())

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        parts: list[list[Block]] = []
        size = BLOCK_BYTES
        for split, path in self._files():
            for block in cut(path, split):
                if size >= BLOCK_BYTES:
                    parts.append([])
                    size = 0
                parts[-1].append(block)
                size += block.end - block.start
        tables = [[pa.Table.from_pylist([b._asdict() for b in blocks])] for blocks in parts]
        executor.map(SentenceParser, tables, out, schema=self.writes)

    def _files(self) -> list[tuple[str, Path]]:
        """Split and path of every file. UserError where there is none, or two have one name."""
        files = [
            (split, path)
            for split in ("train", "dev", "test")
            for pattern in filter(None, (getattr(self, split) or "").split(","))
            for path in find_files(pattern.strip(), (".conllu",))
        ]
        name, times = Counter(path.name for _, path in files).most_common(1)[0]
        if times > 1:
            raise UserError(f"{times} files are called {name}: a sentence could not be named by its file and line")
        return files


class Block(NamedTuple):
    """Whole sentences of a file: the bytes from ``start`` to ``end``, the first of them on ``line`` (from 1)."""

    path: str
    split: str
    start: int
    end: int
    line: int


class SentenceParser:
    """Blocks of files in, sentences out."""

    def __call__(self, blocks: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        rows: list[dict[str, Any]] = []
        rejected = []
        for block in blocks.to_pylist():
            path = Path(block["path"])
            names = {"treebank": path.stem.partition("-ud-")[0], "split": block["split"]}
            for line, lines in sentences(Block(**block)):
                try:
                    text = decoded(lines)
                    columns = vars(parse(text))
                except ConlluError as error:
                    rejected.append(Rejected(f"{path.name}:{line + error.line}", str(error)))
                else:
                    rows.append({"id": f"{path.name}:{line}", "conllu": text, **names, **columns})
        return pa.Table.from_pylist(rows, ReadConllu.writes), rejected


def cut(path: Path, split: str) -> Iterator[Block]:
    """A file's blocks, found by reading it once without keeping it."""
    at = start = 0
    first = 1
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            at += len(line)
            if at - start >= BLOCK_BYTES and not line.strip():
                yield Block(str(path), split, start, at, first)
                start, first = at, number + 1
    if at > start:
        yield Block(str(path), split, start, at, first)


def sentences(block: Block) -> Iterator[tuple[int, list[bytes]]]:
    """The number of its first line and the lines of every sentence of a block."""
    with Path(block.path).open("rb") as file:
        file.seek(block.start)
        lines = file.read(block.end - block.start).removeprefix(BOM).split(b"\n")
    sentence: list[bytes] = []
    for number, line in enumerate([*lines, b""], block.line):
        line = line.removesuffix(b"\r")
        if line.strip():
            sentence.append(line)
        elif sentence:
            yield number - len(sentence), sentence
            sentence = []


def decoded(lines: list[bytes]) -> str:
    """The lines as text. ConlluError names the one that is not UTF-8."""
    texts = []
    for number, line in enumerate(lines):
        try:
            texts.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            raise ConlluError(number, "not UTF-8: save the file in that encoding") from None
    return "\n".join(texts)
