"""Tagged words in columns, as CoNLL-2003 has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa

from models.tag_schemes import first_offence, repair
from pipeline import Artifact, Executor, Rejected, Stage
from pipeline.store import listing_digest
from stages.text.split_files import Item, PartReader, as_parts, numbered_lines, present

DOCUMENT = "-DOCSTART-"
"""The word that begins a document."""

Lines = list[tuple[int, str | None]]
"""Numbered lines; None is one that is not UTF-8."""


@dataclass(frozen=True, kw_only=True)
class ReadConll(Stage):
    """Read words and their tags, a word a line in columns, sentences parted by blank lines (CoNLL-2003).

    Columns are parted by tabs, or where a line has none by blanks. A word -DOCSTART- begins a document; a file without
    has none.

    Out  id str (file:line of the first word), document str | null, words list<str>, tags list<str> (BIO, or as they
         stand in the file), split str

    A sentence with a line that lacks a column or a tag that is against the scheme becomes an error row that names it.
    """

    version: ClassVar[str] = "2"
    paths: ClassVar[frozenset[str]] = frozenset({"dev", "test", "train"})
    writes: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("document", pa.string()),
            ("words", pa.list_(pa.string())),
            ("tags", pa.list_(pa.string())),
            ("split", pa.string()),
        ]
    )

    train: str
    """File with the sentences to train on."""
    dev: str | None = None
    """File with the sentences to watch training with."""
    test: str | None = None
    """File with the sentences to test on."""
    word_column: int = 0
    """Column of the word, from 0; negative ones count from the last."""
    tag_column: int = -1
    """Column of the tag, from 0; negative ones count from the last."""
    scheme: Literal["BIO", "IOB1", "BIOES", "none"] = "BIO"
    """How the files mark spans: BIO (also called IOB2), IOB1 (B- only between two spans of one label that touch, as in
    CoNLL-2003 as it was published), BIOES; or none for tags that mark no spans, parts of speech for example."""
    comments: str | None = None
    """What lines begin with that are no words, "#" for example."""

    def files(self) -> dict[str, str | None]:
        return {"train": self.train, "dev": self.dev, "test": self.test}

    def fingerprint(self) -> str:
        return listing_digest(present(self.files().values()))

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        parts = as_parts(self.files(), self.documents)
        executor.map(partial(PartReader, self.documents, self.writes), parts, out, schema=self.writes)

    def documents(self, path: Path, split: str) -> Iterator[Item]:
        """The sentences of each document, or by themselves where there are none: a document stays in one part."""
        document = None
        sentences: Item = []
        for lines in blocks(numbered_lines(path), self.comments):
            if (lines[0][1] or "").startswith(DOCUMENT):
                if sentences:
                    yield sentences
                document, sentences = f"{path.name}:{lines[0][0]}", []
                lines = lines[1:]
            if not lines:
                continue
            try:
                words, tags = self._sentence(lines)
            except BadLine as error:
                sentences.append(Rejected(f"{path.name}:{error.line}", str(error)))
            else:
                id_ = f"{path.name}:{lines[0][0]}"
                sentences.append({"id": id_, "document": document, "words": words, "tags": tags, "split": split})
            if document is None:
                yield sentences
                sentences = []
        if sentences:
            yield sentences

    def _sentence(self, lines: Lines) -> tuple[list[str], list[str]]:
        """Words and tags. BadLine where one of the lines is not as it should be."""
        words, tags = [], []
        n_columns = 0
        for number, line in lines:
            if line is None:
                raise BadLine(number, "not UTF-8; save the file in that encoding")
            columns = line.split("\t") if "\t" in line else re.split(" +", line.strip())
            n_columns = n_columns or len(columns)
            if len(columns) != n_columns:
                raise BadLine(number, f"{len(columns)} columns, but its sentence begins with {n_columns}")
            try:
                word, tag = columns[self.word_column], columns[self.tag_column]
            except IndexError:
                asked = f"word_column={self.word_column}, tag_column={self.tag_column}"
                raise BadLine(number, f"it has {len(columns)} columns, too few for {asked}") from None
            if not word.strip() or not tag.strip():
                raise BadLine(number, "an empty word or tag")
            words.append(word)
            tags.append(tag)
        if self.scheme == "none":
            return words, tags
        if offence := first_offence(tags, self.scheme):
            position, reason = offence
            raise BadLine(lines[position][0], f"{reason}; correct it, or say which scheme the file has")
        return words, repair(tags)


class BadLine(ValueError):
    """What is wrong with a line of a sentence."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def blocks(lines: Iterable[tuple[int, str | None]], comments: str | None) -> Iterator[Lines]:
    """Lines that belong together: runs without a blank one, those of comments left out."""
    block: Lines = []
    for number, line in lines:
        if line is not None and not line.strip():
            if block:
                yield block
            block = []
        elif line is None or comments is None or not line.startswith(comments):
            block.append((number, line))
    if block:
        yield block
