"""Values as files have them: one that no table can hold costs its own row and no other."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pipeline import Rejected

UNFIT = (ValueError, TypeError, OverflowError, pa.ArrowException)
"""What Arrow raises for a value that is not of its column's type."""
_MAYBE_HALF = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")


def table_of(
    rows: Sequence[dict[str, Any]], places: Sequence[str], schema: pa.Schema
) -> tuple[pa.Table, list[Rejected]]:
    """The rows as a table. Those with a value that ``schema`` cannot hold are rejected, each by its place."""
    try:
        return pa.Table.from_pylist(rows, schema), []
    except UNFIT:
        reasons = [_unfit(row, schema) for row in rows]
    fitting = [row for row, reason in zip(rows, reasons, strict=True) if reason is None]
    rejected = [Rejected(mended(place), reason) for place, reason in zip(places, reasons, strict=True) if reason]
    return pa.Table.from_pylist(fitting, schema), rejected


def refuse_halves(value: Any, text: bytes | None = None) -> None:
    r"""ValueError where a text in a value of JSON has half a character, such as "\ud83d", which JSON can say and UTF-8
    cannot. ``text`` is what the value was read from: most cannot have one, and are not searched."""
    if text is not None and not _MAYBE_HALF.search(text):
        return
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(_half(error)) from None


def mended(value: Any) -> Any:
    """A value of JSON with a question mark for every half of a character."""
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _unfit(row: dict[str, Any], schema: pa.Schema) -> str | None:
    """Which value of a row is not of its column's type; None where all are."""
    for field in schema:
        try:
            pa.array([row.get(field.name)], field.type)
        except UnicodeEncodeError as error:
            return _half(error)
        except UNFIT as error:
            return f"its {field.name} is no {field.type} ({' '.join(str(error).split())})"
    return None


def _half(error: UnicodeEncodeError) -> str:
    return f"a text has half a character, \\u{ord(error.object[error.start]):04x} (a lone surrogate): write it whole"
