"""One output part: the unit of work that goes to a worker, and what the worker does with it."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import StageFailed, UserError
from pipeline.executor import Mapper, Rejected
from pipeline.store import read_part, write_part

ERROR_SCHEMA = pa.schema([("item", pa.string()), ("reason", pa.string())])


@dataclass(frozen=True)
class Part:
    """One output part: where its inputs are and how they are cut into items."""

    index: int
    inputs: tuple[Path | pa.Table, ...]
    out: Path
    schema: pa.Schema
    suffix: str
    """The part's format: ``.parquet`` or ``.arrow``."""
    by: str | None
    """See ``Executor.map``."""
    careful: bool = False
    """One item at a time, nothing ahead: whoever is running when the worker dies is the culprit."""
    poisonous: tuple[tuple[int, str], ...] = ()
    """Items by position that killed workers, with how they died."""

    @property
    def path(self) -> Path:
        return self.out / f"part-{self.index:05d}{self.suffix}"

    @property
    def errors_path(self) -> Path:
        return self.out / "errors" / f"part-{self.index:05d}.parquet"


def map_part(mapper: Mapper, part: Part) -> Iterator[int]:
    """Write one part, yielding the rows of the first input finished at each step.

    The part's errors are written before the part itself, so a part that is there has all of them.
    """
    tables = [read_part(i) if isinstance(i, Path) else i for i in part.inputs]
    poisonous = dict(part.poisonous)
    done: list[pa.Table] = []
    errors: list[Rejected] = []
    n_items: int | None = None
    n_failed = 0

    def call(item: Sequence[pa.Table]) -> None:
        result = mapper(*item)
        table, rejected = result if isinstance(result, tuple) else (result, [])
        done.append(_cast(table, part.schema))
        errors.extend(rejected)

    if part.by is None and not part.careful:
        try:
            call(tables)
        except Exception as error:
            if not all(map(_goes_with_every_item, part.inputs[1:])):
                raise RuntimeError(f"{part.path.name}: {_reason(error)} (several inputs need `by`)") from error
        else:
            n_items = tables[0].num_rows
            yield n_items
    if n_items is None:
        items = list(cut(tables, part.by))
        n_items = len(items)
        prefetch = None if part.careful else getattr(mapper, "prefetch", None)

        def fetch(position: int) -> None:
            if prefetch and position < len(items):
                with suppress(Exception):  # what is wrong with the item shows when its turn comes
                    prefetch(*items[position][1])

        fetch(0)
        for position, (name, item) in enumerate(items):
            fetch(position + 1)
            try:
                if position in poisonous:
                    raise ValueError(poisonous[position])
                call(item)
            except Exception as error:
                errors.append(Rejected(name, _reason(error)))
                n_failed += 1
            yield item[0].num_rows
    # In one chunk, so that the file's pages do not depend on whether the part was run whole or item by item.
    table = pa.concat_tables(done).combine_chunks() if done else part.schema.empty_table()
    if errors:
        rows = [{"item": e.item, "reason": e.reason} for e in errors]
        write_part(part.errors_path, pa.Table.from_pylist(rows, ERROR_SCHEMA))
    else:
        part.errors_path.unlink(missing_ok=True)
    counts = {"items": str(n_items), "failed": str(n_failed)}
    write_part(part.path, table.replace_schema_metadata(counts))


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


def _goes_with_every_item(further: Path | pa.Table) -> bool:
    """Whether a further input says something of the part, and does not run beside its rows."""
    return isinstance(further, pa.Table) and further.num_rows == 1


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
