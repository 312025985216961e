"""Artifacts: directories of parts, complete when their manifest exists.

A store is one directory with one sub-directory an artifact, ``<Stage>-<key>/``. The key is a digest of
everything that determines the content, so an artifact is never stale, only missing. Files appear under
their final names by an atomic rename, and ``manifest.json`` is the last of them: whatever lies in a
directory without one is the resumable half of an interrupted run.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from pipeline.errors import UserError

MANIFEST = "manifest.json"
ERRORS = "errors.parquet"
LOCKS = ".locks"
LEFTOVERS = ".*.tmp"
"""The names of files that ``write_atomically`` has not finished."""


@dataclass(frozen=True)
class Artifact:
    """What one stage wrote: ``path`` holds ``part-*.parquet`` and other files, ``key`` names the content."""

    path: Path
    key: str

    @classmethod
    def open(cls, path: str | Path) -> Artifact:
        """The finished artifact in directory ``path``; UserError where there is none."""
        path = Path(path)
        if not path.is_dir():
            raise UserError(f"{path}: no such directory")
        if not (path / MANIFEST).is_file():
            raise UserError(f"{path}: not a finished artifact (it has no {MANIFEST})")
        return cls(path, json.loads((path / MANIFEST).read_text())["key"])

    @property
    def done(self) -> bool:
        return (self.path / MANIFEST).is_file()

    @cached_property
    def manifest(self) -> dict[str, Any]:
        manifest: dict[str, Any] = json.loads((self.path / MANIFEST).read_text())
        return manifest

    @property
    def parts(self) -> list[Path]:
        """Paths of the parts, in order."""
        return sorted((p for p in self.path.glob("part-*") if p.suffix in (".parquet", ".arrow")), key=part_number)

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All parts as one table. For tables known to be small; large ones are read part by part."""
        return pa.concat_tables(read_part(p, columns) for p in self.parts)

    @property
    def schema(self) -> pa.Schema | None:
        """The schema of the parts; None for an artifact without parts."""
        parts = self.parts
        return part_schema(parts[0]) if parts else None

    def rows(self) -> int:
        return sum(part_rows(p) for p in self.parts)

    def errors(self) -> pa.Table | None:
        """The rejected items (columns item, part, stage, reason), or None where there are none."""
        path = self.path / ERRORS
        return pq.read_table(path) if path.is_file() else None


class Store:
    """A directory of artifacts, shared by any number of runs. UserError where there can be no such directory."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).absolute()
        try:
            there = next(p for p in (self.root, *self.root.parents) if p.exists())
        except OSError as error:
            raise UserError(f"{root}: {error.strerror}") from None
        if not there.is_dir():
            raise UserError(f"{root}: no directory can be there, {there} is a file")

    def open(self) -> None:
        """Make the directory, unless it is there. UserError where that cannot be, or nothing can be written to it."""
        folder = self.root / LOCKS
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise UserError(f"{self.root}: cannot be written to ({error.strerror})") from None

    def artifact(self, stage_name: str, key: str) -> Artifact:
        return Artifact(self.root / f"{stage_name}-{key}", key)

    @contextmanager
    def lock(self, artifact: Artifact, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the right to write ``artifact`` of an open store; calls ``waiting`` once where another run has it.

        The lock belongs to the process and goes with it, also by SIGKILL.
        """
        lock = FileLock(self.root / LOCKS / f"{artifact.path.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waiting()
            lock.acquire(poll_interval=0.2)
        try:
            yield
        finally:
            lock.release()


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is flushed to disk and renamed to ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_part(path: Path, table: pa.Table) -> None:
    """Write a part: Parquet, or Arrow IPC (``.arrow``), which is larger and can be memory-mapped."""
    with write_atomically(path) as temporary:
        if path.suffix == ".arrow":
            with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table.combine_chunks())
        else:
            # A dictionary of floats or pictures saves nothing and takes longer to read than the values.
            text = [f.name for f in table.schema if pa.types.is_string(f.type)]
            pq.write_table(table, temporary, compression="zstd", use_dictionary=text)


def read_part(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A part's rows; an Arrow file is mapped, not read."""
    if path.suffix == ".arrow":
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        return table if columns is None else table.select(list(columns))
    return pq.read_table(path, columns=None if columns is None else list(columns))


def part_number(path: Path) -> int:
    """Of a part or its errors. Names sort as numbers only up to 99,999."""
    return int(path.stem.removeprefix("part-"))


def part_rows(path: Path) -> int:
    """How many rows a part has, without reading them."""
    if path.suffix == ".arrow":
        return int(read_part(path).num_rows)
    return int(pq.read_metadata(path).num_rows)


def part_schema(path: Path) -> pa.Schema:
    if path.suffix == ".arrow":
        return pa.ipc.open_file(pa.memory_map(str(path))).schema
    return pq.read_schema(path)


def part_metadata(path: Path) -> dict[bytes, bytes]:
    """What is written beside a part's schema."""
    if path.suffix == ".arrow":
        return dict(pa.ipc.open_file(pa.memory_map(str(path))).schema.metadata or {})
    return dict(pq.read_metadata(path).metadata or {})


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files that a killed run left in ``folder``. Call it while holding the lock."""
    for path in folder.rglob(LEFTOVERS):
        path.unlink(missing_ok=True)


def digest(value: Any) -> str:
    """16 hexadecimal digits that name a JSON-serialisable value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def listing_digest(paths: Iterable[str | Path], folders: bool = False) -> str:
    """Names a set of files by path, size and modification time: cheap where the content is terabytes.

    With ``folders`` a directory stands for all files below it. UserError names the first path that does not exist, or
    is a directory without that.
    """
    entries = []
    for path in map(Path, paths):
        if not path.exists():
            raise UserError(f"{path}: no such file or directory")
        if path.is_dir() and not folders:
            raise UserError(f"{path}: is a folder, give a file")
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            status = file.stat()
            entries.append([os.path.normpath(file.absolute()), status.st_size, status.st_mtime_ns])
    return digest(entries)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    with write_atomically(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
