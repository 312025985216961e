"""The files that a field names: one, those of a folder, or those that a glob matches."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from pipeline import UserError

Block = TypeVar("Block", bound=Any)
"""A NamedTuple that says what is to be read of a file, by default from byte ``start`` to ``end``."""


def find_files(pattern: str, suffixes: tuple[str, ...] = (), recursive: bool = True) -> list[Path]:
    """The file, those of a folder with one of the suffixes, or those that a glob matches, in order of their paths.

    ``recursive`` is of a folder: whether its folders are searched too. Folders that a glob matches are no files, and of
    a folder files and folders whose names begin with a dot are left out, as a glob does. Without suffixes a folder has
    all files. UserError where there is none.
    """
    path = Path(pattern)
    found: Iterable[Path]
    if path.is_dir():
        below = path.rglob("*") if recursive else path.iterdir()
        seen = (p for p in below if not any(name.startswith(".") for name in p.relative_to(path).parts))
        found = (p for p in seen if p.name.endswith(suffixes or ""))
    elif path.is_file():
        found = [path]
    else:
        found = map(Path, glob.glob(pattern, recursive=True))  # noqa: PTH207 - may be absolute
    files = sorted(p for p in found if p.is_file())
    if not files:
        of = f" with {' or '.join(suffixes)} files" if suffixes else ""
        raise UserError(f"{pattern}: no such file (give a file, a folder{of}, or a glob)")
    return files


def as_parts(
    blocks: Iterable[Block], part_bytes: int, bytes_of: Callable[[Block], int] = lambda block: block.end - block.start
) -> list[list[pa.Table]]:
    """Blocks grouped into parts of at least so many bytes, each the input of ``executor.map``."""
    parts: list[list[Block]] = []
    size = part_bytes
    for block in blocks:
        if size >= part_bytes:
            parts.append([])
            size = 0
        parts[-1].append(block)
        size += bytes_of(block)
    return [[pa.Table.from_pylist([b._asdict() for b in part])] for part in parts]
