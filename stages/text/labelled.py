"""Rows of labelled texts: what the readers of classified texts have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from stages.text import tables

LABELLED = pa.schema([(name, pa.string()) for name in ("id", "text", "second", "label", "split")])
"""``id`` is file:line, ``second`` null where there is one text, ``label`` null where it is not known; a number to
predict is a label too, as it stands in the file."""


def labelled(
    take: Callable[[Mapping[str, Any], str], dict[str, str | None]], line: tables.Line, split: str
) -> list[dict[str, str | None]]:
    """The row of a line; ``take`` finds text, second and label in its cells, or raises ValueError."""
    return [{"id": line.at, **take(line.cells, split), "split": split}]


def text_of(cells: Mapping[str, Any], column: str) -> str:
    """A cell's text. ValueError where there is none."""
    text = cells.get(column)
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"no text in the column '{column}'")
    return text.strip()
