"""The files of a data set, one a split, as the parts that a reader maps over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa

SPLITS = ("train", "dev", "test")


def as_parts(files: Mapping[str, str | Path | None]) -> list[list[pa.Table]]:
    """Split -> file to parts of one file each, a table with ``path`` and ``split``; None is a split without rows."""
    return [[pa.table({"path": [str(path)], "split": [split]})] for split, path in files.items() if path is not None]


def file_of(item: pa.Table) -> tuple[Path, str]:
    """The file and its split, of a part made by ``as_parts``."""
    return Path(item["path"][0].as_py()), item["split"][0].as_py()


def numbered_lines(path: Path) -> Iterator[tuple[int, str | None]]:
    """The lines of a file, from 1, read as they are asked for and without what ends them; None is not UTF-8."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError:
                yield number, None


def present(files: Iterable[str | Path | None]) -> list[str | Path]:
    """The files that are named."""
    return [file for file in files if file is not None]
