"""Utterances with an intent and slots, in folders of three parallel files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from pipeline import Artifact, Executor, Rejected, Stage, UserError
from pipeline.store import listing_digest
from stages.text.split_files import Item, PartReader, as_parts, numbered_lines

FILES = ("seq.in", "seq.out", "label")


@dataclass(frozen=True, kw_only=True)
class ReadIntents(Stage):
    """Read utterances whose words stand in seq.in, their slots in seq.out and their intents in label, a line each.

    The form of ATIS and SNIPS that Goo et al. 2018 published. Several intents of one utterance (``a#b``) are a label
    of their own.

    Out  id str (folder/seq.in:line), words list<str>, tags list<str> (BIO), intent str, split str

    A line without words, with another number of tags than words, without an intent or missing in one of the files
    becomes an error row.
    """

    version: ClassVar[str] = "2"
    paths: ClassVar[frozenset[str]] = frozenset({"folder"})
    writes: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("words", pa.list_(pa.string())),
            ("tags", pa.list_(pa.string())),
            ("intent", pa.string()),
            ("split", pa.string()),
        ]
    )

    folder: str
    """Folder with a folder for each split."""
    train: str = "train"
    """Name of the folder to train on."""
    dev: str | None = "dev"
    """Name of the folder to watch training with, often "dev" or "valid"."""
    test: str | None = "test"
    """Name of the folder to test on."""

    def folders(self) -> dict[str, Path | None]:
        names = {"train": self.train, "dev": self.dev, "test": self.test}
        return {split: None if name is None else Path(self.folder) / name for split, name in names.items()}

    def fingerprint(self) -> str:
        if not Path(self.folder).is_dir():
            raise UserError(f"{self.folder}: no such folder")
        for split, folder in self.folders().items():
            if folder is not None and not folder.is_dir():
                known = ", ".join(sorted(p.name for p in Path(self.folder).iterdir() if p.is_dir())) or "none"
                raise UserError(f"{folder}: no such folder; say with '{split}' which it is (folders there: {known})")
        return listing_digest(folder / name for folder in self.folders().values() if folder for name in FILES)

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        parts = as_parts(self.folders(), utterances)
        executor.map(partial(PartReader, utterances, self.writes), parts, out, schema=self.writes)


def utterances(folder: Path, split: str) -> Iterator[Item]:
    """The utterances of a folder, each by itself."""
    for number, lines in enumerate(parallel_lines(folder), 1):
        id_ = f"{folder.name}/{FILES[0]}:{number}"
        try:
            yield [{"id": id_, **utterance(lines), "split": split}]
        except ValueError as error:
            yield [Rejected(id_, str(error))]


def parallel_lines(folder: Path) -> Iterator[dict[str, str | None]]:
    """Line by line what the files have; no entry for a file that has ended, None for what is not UTF-8."""
    missing = (0, "")
    for lines in zip_longest(*(numbered_lines(folder / name) for name in FILES), fillvalue=missing):
        yield {name: line[1] for name, line in zip(FILES, lines, strict=True) if line is not missing}


def utterance(lines: Mapping[str, str | None]) -> dict[str, Any]:
    """Words, tags and intent. ValueError says what is wrong with the lines."""
    if absent := [name for name in FILES if name not in lines]:
        raise ValueError(f"{absent[0]} has no such line; the three files need the same number of lines")
    if broken := [name for name in FILES if lines[name] is None]:
        raise ValueError(f"the line of {broken[0]} is not UTF-8; save the file in that encoding")
    words, tags, intent = ((lines[name] or "").split() for name in FILES)
    if not words:
        raise ValueError("the text is empty")
    if len(words) != len(tags):
        raise ValueError(f"{len(words)} words, but {len(tags)} tags in seq.out")
    if len(intent) != 1:
        raise ValueError("the line of label is empty" if not intent else f"label is {' '.join(intent)!r}, not one word")
    for tag in tags:
        if tag != "O" and not (tag[:2] in ("B-", "I-") and tag[2:]):
            raise ValueError(f"'{tag}' in seq.out is no tag of BIO")
    return {"words": words, "tags": tags, "intent": intent[0]}
