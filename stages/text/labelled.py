"""Rows of labelled texts: what the readers of classified texts have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from pipeline import Rejected
from stages.text import tables

LABELLED = pa.schema([(name, pa.string()) for name in ("id", "text", "second", "label", "split")])
"""``id`` is file:line, ``second`` null where there is one text, ``label`` null where it is not known; a number to
predict is a label too, as it stands in the file."""


class Labels(Protocol):
    """A reader that knows its files."""

    def form(self, path: Path) -> tables.Form:
        """How a file is written."""

    def labelled(self, cells: Mapping[str, Any], split: str) -> dict[str, str | None]:
        """text, second and label of a row. ValueError says what is wrong with it."""


class LabelledReader:
    """Blocks of files in, their rows out."""

    def __init__(self, reader: Labels) -> None:
        self.reader = reader

    def __call__(self, blocks: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        good: list[dict[str, str | None]] = []
        rejected = []
        for block in tables.blocks_of(blocks):
            for line in tables.rows(block, self.reader.form(Path(block.path))):
                if isinstance(line, Rejected):
                    rejected.append(line)
                    continue
                try:
                    row = self.reader.labelled(line.cells, block.split)
                except ValueError as error:
                    rejected.append(Rejected(line.at, str(error)))
                else:
                    good.append({"id": line.at, **row, "split": block.split})
        return pa.Table.from_pylist(good, LABELLED), rejected


def text_of(cells: Mapping[str, Any], column: str) -> str:
    """A cell's text. ValueError where there is none."""
    text = cells.get(column)
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"no text in the column '{column}'")
    return text.strip()
