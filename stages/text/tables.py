"""Files of rows (CSV, TSV, JSON lines, Parquet), cut into blocks that workers read on their own."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import Rejected, UserError
from stages.text import source_files
from stages.text.values import refuse_halves, table_of

BLOCK_BYTES = 1 << 20
"""A longer file is read by several workers. Shorter ones are grouped into parts of at least this much."""
FIRST_LINES = 20
BOM = b"\xef\xbb\xbf"
NOT_UTF8 = "not UTF-8: save the file in that encoding"
ESCAPED = re.compile("[\udc80-\udcff]")
"""What "surrogateescape" makes of bytes that are not UTF-8."""
STRAY = "a quotation mark opens a cell in this line that is not closed where a cell ends"
T = TypeVar("T", bound=Hashable)
SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


class Form(NamedTuple):
    """How a file is written."""

    quotes: bool
    """Whether a cell may stand in double quotes, and then hold separators and line ends. Of CSV and TSV only."""
    columns: tuple[str, ...] | None = None
    """The columns of a file without a header; None for one with a header."""
    separator: str = ""
    """What stands between cells: by default a tab in .tsv, else a comma; " " for white space of any length."""
    json: bool = False
    """Whether lines are JSON, whatever the file is called. Those of .jsonl are, unless ``columns`` are named."""

    def is_json(self, path: Path) -> bool:
        return self.json or (path.suffix == ".jsonl" and self.columns is None)


class Block(NamedTuple):
    """Whole rows of a file: the bytes, or of Parquet the row groups, from ``start`` to ``end``."""

    path: str
    split: str
    start: int
    end: int
    line: int
    """The first row's line, from 1; of Parquet the row, from 1."""


class Line(NamedTuple):
    """A row with its place, ``file:line``, and the cells by column."""

    at: str
    cells: dict[str, Any]


def find_files(pattern: str) -> list[Path]:
    """The file, or the files that a glob matches, in order. UserError where there is none, or one is no table."""
    if Path(pattern).is_dir():
        raise UserError(f"{pattern}: is a folder, give a file or a glob")
    files = source_files.find_files(pattern)
    for file in files:
        if file.suffix not in SUFFIXES:
            raise UserError(f"{file}: give a table as {', '.join(SUFFIXES)}")
    return files


def first_lines(path: Path) -> list[str]:
    """The first lines that are not blank, by which a format is told; any of them may be damaged."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return [line.rstrip("\n") for line in islice((line for line in file if line.strip()), FIRST_LINES)]


def commonest(values: Iterable[T | None]) -> T | None:
    """The most frequent of the values that are not None; of equally frequent ones the first."""
    return next((value for value, _ in Counter(v for v in values if v is not None).most_common(1)), None)


def columns_of(path: Path, form: Form) -> tuple[str, ...]:
    """The columns that a file has, by its first line that is not blank: the header, or a row of JSON. UserError where
    that cannot be read."""
    if form.columns is not None:
        return form.columns
    try:
        if path.suffix == ".parquet":
            return tuple(pq.read_schema(path).names)
        with path.open("rb") as file:
            first = _first_line(file)[1]
        if form.is_json(path):
            return tuple(json.loads(first or b"{}"))
        return _header(first, path, form)
    except (OSError, ValueError, TypeError, csv.Error, pa.ArrowInvalid) as error:
        raise UserError(f"{path}: cannot be read as {path.suffix[1:]} ({' '.join(str(error).split())})") from None


def as_parts(blocks: Iterable[Block]) -> list[list[pa.Table]]:
    """Blocks grouped into parts, each the input of ``executor.map``."""
    return source_files.as_parts(blocks, BLOCK_BYTES, _bytes_of)


def _bytes_of(block: Block) -> int:
    """A block of Parquet, whose numbers are of row groups, is as large as any."""
    return BLOCK_BYTES if block.path.endswith(".parquet") else block.end - block.start


def blocks_of(part: pa.Table) -> Iterator[Block]:
    """The blocks of a part."""
    for row in part.to_pylist():
        yield Block(**row)


def cut(path: Path, split: str, form: Form) -> Iterator[Block]:
    """A file's blocks, found by reading it once without keeping it. A quoted line end is not a row's end."""
    if path.suffix == ".parquet":
        row = 1
        with pq.ParquetFile(path) as parquet:
            for group in range(parquet.num_row_groups):
                yield Block(str(path), split, group, group + 1, row)
                row += parquet.metadata.row_group(group).num_rows
        return
    with path.open("rb") as file:
        header = not form.is_json(path) and form.columns is None
        line = first = _first_line(file)[0] + 1 if header else 1
        at = start = file.tell() if header else 0
        quoted = form.quotes and not form.is_json(path)
        separator = _separator(path, form).encode()
        inside = False
        for text in file:
            at += len(text)
            line += 1
            if quoted and b'"' in text:
                inside = _inside(text, inside, separator)
            if at - start >= BLOCK_BYTES and not inside:
                yield Block(str(path), split, start, at, first)
                start, first = at, line
        if at > start:
            yield Block(str(path), split, start, at, first)


def names_of(paths: Iterable[str]) -> dict[str, str]:
    """What each file's rows are called by: its name, or where another file has it too, its path below the folder that
    files of this name share."""
    namesakes: dict[str, dict[str, str]] = {}
    for path in paths:
        namesakes.setdefault(Path(path).name, {})[path] = os.path.abspath(path)  # noqa: PTH100 - links have two names
    names: dict[str, str] = {}
    for name, places in namesakes.items():
        shared = os.path.commonpath(places.values())
        alone = len(set(places.values())) == 1
        names |= {path: name if alone else Path(place).relative_to(shared).as_posix() for path, place in places.items()}
    return names


def rows(block: Block, form: Form, name: str | None = None) -> Iterator[Line | Rejected]:
    """The rows of a block that are not blank. A Rejected says what is wrong with one. ``name`` is what they call their
    file, by default its own name."""
    path = Path(block.path)
    name = name or path.name
    if path.suffix == ".parquet":
        yield from _parquet_rows(path, name, block)
        return
    with path.open("rb") as file:
        file.seek(block.start)
        text = file.read(block.end - block.start)
    lines = io.BytesIO(text if block.start else text.removeprefix(BOM))
    if form.is_json(path):
        for number, text in enumerate(lines, block.line):
            if text.strip():
                yield _json_row(f"{name}:{number}", text)
    else:
        columns = columns_of(path, form)
        for number, cells in _cells(lines, path, form, block.line, len(columns)):
            if isinstance(cells, csv.Error):
                yield Rejected(f"{name}:{number}", str(cells))
            elif any(cell.strip() for cell in cells):
                yield _row(f"{name}:{number}", columns, cells)


class RowReader:
    """Blocks of files in, a table of what ``take`` makes of each of their rows out.

    ``forms`` tells how each file is written, by its path. ``take`` is called with a row and its split; its ValueError
    says what is wrong with the row, which is then rejected.
    """

    def __init__(
        self, forms: Mapping[str, Form], take: Callable[[Line, str], Iterable[dict[str, Any]]], schema: pa.Schema
    ) -> None:
        self.forms, self.take, self.schema = forms, take, schema
        self.names = names_of(forms)

    def __call__(self, part: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        taken: list[dict[str, Any]] = []
        places: list[str] = []
        rejected = []
        for block in blocks_of(part):
            for row in rows(block, self.forms[block.path], self.names[block.path]):
                if isinstance(row, Rejected):
                    rejected.append(row)
                    continue
                try:
                    taken += self.take(row, block.split)
                except ValueError as error:
                    rejected.append(Rejected(row.at, str(error)))
                places += [row.at] * (len(taken) - len(places))
        table, unfit = table_of(taken, places, self.schema)
        return table, rejected + unfit


def _parquet_rows(path: Path, name: str, block: Block) -> Iterator[Line]:
    with pq.ParquetFile(path) as parquet:
        table = parquet.read_row_groups(list(range(block.start, block.end)))
    for number, cells in enumerate(table.to_pylist(), block.line):
        yield Line(f"{name}:{number}", cells)


def _json_row(at: str, text: bytes) -> Line | Rejected:
    try:
        cells = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Rejected(at, f"not JSON ({error})")
    try:
        refuse_halves(cells, text)
    except ValueError as error:
        return Rejected(at, str(error))
    if not isinstance(cells, dict):
        return Rejected(at, 'not a row: expected an object such as {"text": "..."}')
    return Line(at, cells)


def _row(at: str, columns: Sequence[str], cells: Sequence[str]) -> Line | Rejected:
    if len(cells) != len(columns):
        return Rejected(at, f"{len(cells)} columns instead of {len(columns)} ({', '.join(columns)})")
    if any(ESCAPED.search(cell) for cell in cells if not cell.isascii()):
        return Rejected(at, NOT_UTF8)
    return Line(at, dict(zip(columns, cells, strict=True)))


def _cells(
    lines: Iterable[bytes], path: Path, form: Form, first: int, width: int | None = None
) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Line and cells of every row, or what is wrong with it. What is not UTF-8 comes as lone surrogates.

    A row of several lines that has not ``width`` cells, or an odd number of quotation marks of which one is not closed
    where a cell ends, began with a stray one: its first line is refused, and the others are read on their own.
    """
    texts = [line.decode("utf-8", "surrogateescape") for line in lines]
    separator = _separator(path, form)
    if not form.quotes:
        for number, text in enumerate(texts, first):
            yield number, text.split() if separator == " " else text.rstrip("\r\n").split(separator)
        return
    csv.field_size_limit(1 << 30)  # a cell may be a whole document
    start = 0
    reader = csv.reader(texts, delimiter=separator)
    while True:
        at = start + reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield first + at, error
            continue
        end = start + reader.line_num
        stray = end > at + 1 and (width not in (None, len(cells)) or _torn(texts[at:end], separator))
        if stray:
            yield first + at, csv.Error(STRAY)
            start, reader = at + 1, csv.reader(islice(texts, at + 1, None), delimiter=separator)
        else:
            yield first + at, cells


def _first_line(file: BinaryIO) -> tuple[int, bytes]:
    """Number and text of the first line that is not blank; the file is then read up to its end."""
    number, line = 0, BOM
    while line and not line.removeprefix(BOM).strip():
        number, line = number + 1, file.readline()
    return number, line.removeprefix(BOM)


def _separator(path: Path, form: Form) -> str:
    return form.separator or ("\t" if path.suffix == ".tsv" else ",")


def _inside(line: bytes, inside: bool, separator: bytes) -> bool:
    """Whether the end of a line is inside a quoted cell, if its begin is: as csv.reader has it, a quotation mark opens
    a cell only where the cell begins, and inside one two of them are one."""
    at = 0
    while True:
        if not inside:
            if at or not line.startswith(b'"'):
                opening = line.find(separator + b'"', at)
                if opening < 0:
                    return False
                at = opening + len(separator)
            at += 1
        closing = line.find(b'"', at)
        if closing < 0:
            return True
        at = closing + 1
        inside = line[at : at + 1] == b'"'
        at += inside


def _torn(texts: Sequence[str], separator: str) -> bool:
    """Whether a cell of a row of these lines goes on behind the quotation mark that closes it, or is never closed."""
    try:
        for _ in csv.reader(texts, delimiter=separator, strict=True):
            pass
    except csv.Error:
        return True
    return False


def _header(line: bytes, path: Path, form: Form) -> tuple[str, ...]:
    _, cells = next(_cells([line], path, form, 1), (1, []))
    if isinstance(cells, csv.Error):
        raise cells
    if any(map(ESCAPED.search, cells)):
        raise UserError(f"{path}: its header is {NOT_UTF8}")
    return tuple(cell.strip() for cell in cells)
