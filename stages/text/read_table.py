"""Tables of labelled texts with columns of any name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from pipeline import Artifact, Executor, Stage, UserError
from pipeline.store import listing_digest
from stages.text import tables
from stages.text.labelled import LABELLED, labelled, text_of

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, kw_only=True)
class ReadTable(Stage):
    """Read labelled texts, or pairs of texts, from CSV, TSV, JSON-lines or Parquet files: a file or more a split.

    Out  id str (file:line; files of one name by their paths below the folder they share), text str, second str|null,
         label str|null, split str ("train" | "dev" | "test")

    A row with another number of columns than the header, without text, or, in train and dev, without label becomes an
    error row. A test file may lack the label's column.
    """

    version: ClassVar[str] = "3"
    paths: ClassVar[frozenset[str]] = frozenset({"dev", "test", "train"})
    writes: ClassVar[pa.Schema] = LABELLED

    train: str | None = None
    """File of the training rows (.csv, .tsv, .jsonl or .parquet), or a glob."""
    dev: str | None = None
    """File or glob of the rows that say when to stop and which settings are best."""
    test: str | None = None
    """File or glob of the rows that the final figures are from."""
    text: str = "text"
    """Name of the column with the text."""
    second: str | None = None
    """Name of the column with the second text of a pair."""
    label: str = "label"
    """Name of the column with the label, or the number to predict."""
    quotes: bool | None = None
    """Whether cells may stand in double quotes; by default they may in .csv and not in .tsv."""

    def __post_init__(self) -> None:
        if not any(getattr(self, split) for split in SPLITS):
            raise UserError("name at least one of train, dev and test")

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        blocks = (b for path, split in self._files() for b in tables.cut(path, split, self.form(path)))
        forms = {str(path): self.form(path) for path, _ in self._files()}
        make = partial(tables.RowReader, forms, partial(labelled, self.labelled), LABELLED)
        executor.map(make, tables.as_parts(blocks), out, schema=LABELLED)

    def fingerprint(self) -> str:
        files = list(self._files())
        for path, split in files:
            has = tables.columns_of(path, self.form(path))
            needed = [self.text, *filter(None, [self.second]), *([self.label] if split != "test" else [])]
            for column in needed:
                if column not in has:
                    raise UserError(f"{path}: has no column '{column}' (it has {', '.join(has) or 'no header'})")
        return listing_digest(path for path, _ in files)

    def form(self, path: Path) -> tables.Form:
        return tables.Form(path.suffix == ".csv" if self.quotes is None else self.quotes)

    def labelled(self, cells: Mapping[str, Any], split: str) -> dict[str, str | None]:
        second = {"second": text_of(cells, self.second)} if self.second else {}
        label = cells.get(self.label)
        if label is None or not str(label).strip():
            if split != "test":
                raise ValueError(f"no label in the column '{self.label}'")
            label = None
        return {"text": text_of(cells, self.text), **second, "label": None if label is None else str(label).strip()}

    def _files(self) -> Iterator[tuple[Path, str]]:
        for split in SPLITS:
            if pattern := getattr(self, split):
                for path in tables.find_files(pattern):
                    yield path, split
