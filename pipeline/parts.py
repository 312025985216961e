"""One output part: the unit of work that goes to a worker, and what the worker does with it."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import StageFailed, UserError
from pipeline.executor import Mapper, Rejected
from pipeline.store import part_metadata, read_part, write_part

ERRORS_OF_PART = pa.schema(
    [
        ("item", pa.string()),
        ("reason", pa.string()),
        ("position", pa.int32()),
        ("start", pa.int64()),
        ("stop", pa.int64()),
    ]
)
"""A part's errors. ``position`` counts the part's items, and is null where the part was one call; ``start`` and
``stop`` say which rows of the part the item gave: none where it failed, some where only rows of it were rejected."""


@dataclass(frozen=True)
class Part:
    """One output part: where its inputs are and how they are cut into items."""

    index: int
    inputs: tuple[Path | pa.Table, ...]
    out: Path
    schema: pa.Schema
    suffix: str
    """The part's format: ``.parquet`` or ``.arrow``."""
    by: str | None = None
    """See ``Executor.map``."""
    whole: bool = False
    """See ``Executor.map``."""
    again: bool = False
    """The part is there, and its items with errors are to be tried once more."""
    careful: bool = False
    """One item at a time, nothing ahead: whoever is running when the worker dies is the culprit."""
    poisonous: tuple[tuple[int, str], ...] = ()
    """Items by position that killed workers, with how they died."""

    @property
    def is_one_item(self) -> bool:
        """Whether it is never cut."""
        return self.whole and self.by is None

    @property
    def at_once(self) -> bool:
        """Whether its items are one call, and are only cut where that raises."""
        return self.whole == (self.by is not None)

    @property
    def path(self) -> Path:
        return self.out / f"part-{self.index:05d}{self.suffix}"

    @property
    def errors_path(self) -> Path:
        return self.out / "errors" / f"part-{self.index:05d}.parquet"


def parts_of(
    inputs: Sequence[Sequence[Path | pa.Table]],
    out: Path,
    *,
    schema: pa.Schema,
    by: str | None,
    whole: bool,
    suffix: str,
) -> list[Part]:
    """The parts of an ``Executor.map`` by its arguments. ValueError where these do not say what an item is."""
    for further in (i for of_part in inputs for i in of_part[1:]):
        if by is None and not whole and not (isinstance(further, pa.Table) and further.num_rows == 1):
            raise ValueError("several inputs need `by` or `whole`: which of their rows belong together?")
    return [Part(i, tuple(of_part), out, schema, suffix, by, whole) for i, of_part in enumerate(inputs)]


def map_part(mapper: Mapper, part: Part) -> Iterator[int | str]:
    """Write one part, yielding the rows of the first input finished at each step, and a line where there is one to say.

    The part's errors are written before the part itself, so a part that is there has all of them.
    """
    tables = [read_part(i) if isinstance(i, Path) else i for i in part.inputs]
    before = _Before(part) if part.again and part.path.is_file() else None
    if before is not None and None in before.errors:
        before = None  # the part was one call, and is one again
    if part.at_once and not (part.careful or before):
        written = _Written(part, _how(mapper))
        try:
            written.add(*_call(mapper, tables, part.schema))
        except Exception as error:
            what = "rows" if part.by is None else "items"
            yield f"{part.path.name}: {_reason(error)}; its {what} are tried one by one"
        else:
            items = tables[0].num_rows if part.by is None else _count_values(tables, part.by)
            written.finish(items)
            yield tables[0].num_rows
            return
    yield from _map_items(mapper, part, tables, before)


def _map_items(mapper: Mapper, part: Part, tables: Sequence[pa.Table], before: _Before | None) -> Iterator[int]:
    """Write a part item by item; those that were without errors ``before`` keep their rows."""
    items = [(part.path.stem, tuple(tables))] if part.is_one_item else list(cut(tables, part.by))
    poisonous = dict(part.poisonous)
    prefetch = None if part.careful else getattr(mapper, "prefetch", None)
    written = _Written(part, _how(mapper, before))

    def fetch(position: int) -> None:
        if prefetch and position < len(items) and (before is None or position in before.errors):
            with suppress(Exception):  # what is wrong with the item shows when its turn comes
                prefetch(*items[position][1])

    fetch(0)
    for position, (name, item) in enumerate(items):
        fetch(position + 1)
        if before is None or position in before.errors:
            if before is not None:
                written.add(before.rows_until(position))
            try:
                if position in poisonous:
                    raise ValueError(poisonous[position])
                written.add(*_call(mapper, item, part.schema), position)
            except Exception as error:
                written.fail(Rejected(name, _reason(error)), position)
        yield item[0].num_rows
    if before is not None:
        written.add(before.rows_until(None))
    written.finish(items=len(items))


def _call(mapper: Mapper, item: Sequence[pa.Table], schema: pa.Schema) -> tuple[pa.Table, list[Rejected]]:
    result = mapper(*item)
    table, rejected = result if isinstance(result, tuple) else (result, [])
    return _cast(table, schema), rejected


def _how(mapper: Mapper, before: _Before | None = None) -> dict[str, str]:
    """What the mapper says of how it computes, with what those said who wrote the rows from ``before``."""
    earlier = before.metadata if before is not None else {}
    own: dict[str, str] = getattr(mapper, "how", {})
    said = {name: {text, *earlier.get(name.encode(), text.encode()).decode().split("\n")} for name, text in own.items()}
    return {name: "\n".join(sorted(texts)) for name, texts in said.items()}


class _Before:
    """A part that is there, cut at its items with errors."""

    def __init__(self, part: Part) -> None:
        self._table = read_part(part.path).replace_schema_metadata()
        self.metadata = part_metadata(part.path)
        self._at = 0
        self.errors = {e["position"]: (e["start"], e["stop"]) for e in read_part(part.errors_path).to_pylist()}
        """Where the rows of an item with errors begin and end, by the item's position."""

    def rows_until(self, position: int | None) -> pa.Table:
        """Those of the items before that one and after the last that was asked for; None for the part's end."""
        start, stop = self.errors[position] if position is not None else (self._table.num_rows, 0)
        rows, self._at = self._table.slice(self._at, start - self._at), stop
        return rows


class _Written:
    """What a part will hold."""

    def __init__(self, part: Part, how: Mapping[str, str]) -> None:
        self._part, self._how = part, how
        self._tables: list[pa.Table] = []
        self._errors: list[dict[str, Any]] = []
        self._rows = self._failed = 0

    def add(self, table: pa.Table, rejected: Sequence[Rejected] = (), position: int | None = None) -> None:
        start, self._rows = self._rows, self._rows + table.num_rows
        self._tables.append(table)
        for error in rejected:
            place = {"position": position, "start": start, "stop": self._rows}
            self._errors.append({"item": error.item, "reason": error.reason, **place})

    def fail(self, error: Rejected, position: int) -> None:
        self.add(self._part.schema.empty_table(), [error], position)
        self._failed += 1

    def finish(self, items: int) -> None:
        """Write the errors, then the part."""
        # In one chunk, so that the file's pages do not depend on whether the part was run whole or item by item.
        tables = self._tables or [self._part.schema.empty_table()]
        table = pa.concat_tables(tables).combine_chunks()
        self._part.path.unlink(missing_ok=True)  # one made again must not be there with the errors of another try
        if self._errors:
            write_part(self._part.errors_path, pa.Table.from_pylist(self._errors, ERRORS_OF_PART))
        else:
            self._part.errors_path.unlink(missing_ok=True)
        metadata = {"items": str(items), "failed": str(self._failed), **self._how}
        write_part(self._part.path, table.replace_schema_metadata(metadata))


def _count_values(tables: Sequence[pa.Table], by: str) -> int:
    """How many items ``cut`` finds."""
    return len({value for table in tables for value in table[by].unique().to_pylist()})


def cut(tables: Sequence[pa.Table], by: str | None) -> Iterator[tuple[str, tuple[pa.Table, ...]]]:
    """Name and rows of every item, in the order in which the tables, one after another, first name them.

    A table without rows for an item gives none: a video that is silent has no sentences, one that failed no clips.
    Without ``by`` the items are the first table's rows, and the other tables come whole with each.
    """
    first, *others = tables
    if by is None:
        for row in range(first.num_rows):
            yield str(first.column(0)[row].as_py()), (first.slice(row, 1), *others)
        return
    groups = [_group(table, by) for table in tables]
    for value in dict.fromkeys(value for group in groups for value in group):
        yield str(value), tuple(g.get(value, t.slice(0, 0)) for g, t in zip(groups, tables, strict=True))


def _group(table: pa.Table, by: str) -> dict[object, pa.Table]:
    """The rows of each value of ``by``, without a copy where they lie together."""
    column = table[by].combine_chunks()
    encoded = pc.dictionary_encode(column, null_encoding="encode")
    codes = encoded.indices.to_numpy()
    if (np.diff(codes) < 0).any():
        table = table.take(np.argsort(codes, kind="stable"))
    values = encoded.dictionary.to_pylist()
    counts = np.bincount(codes, minlength=len(values))
    starts = np.cumsum(counts) - counts
    return {v: table.slice(s, n) for v, s, n in zip(values, starts, counts, strict=True)}


def portable(error: Exception, where: str) -> Exception:
    """``error`` as one that can go to another process, with the traceback of this one as a note."""
    if isinstance(error, (UserError, StageFailed)):
        return type(error)(str(error))
    failure = RuntimeError(f"{where} failed: {type(error).__name__}: {error}")
    failure.add_note(f"There:\n{''.join(traceback.format_exception(error))}")
    return failure


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    missing = [n for n in schema.names if n not in table.column_names]
    if missing:
        raise TypeError(f"the mapper's table lacks {', '.join(missing)}")
    return table.select(schema.names).cast(schema)


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    plain = isinstance(error, (ValueError, OSError)) and text
    return text if plain else f"{type(error).__name__}: {text}" if text else type(error).__name__
