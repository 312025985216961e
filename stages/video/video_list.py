"""Finding the videos that a path stands for, their ids and their caption files."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UserError
from stages.video.speech.captions import SUFFIXES as CAPTION_SUFFIXES

VIDEO_SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts"),
    *(".vob", ".webm", ".wmv"),
)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]+)*")


@dataclass(frozen=True)
class Entry:
    """A video as it was found: ``at`` names the line of the list or table it stands in, "" for a folder."""

    video_id: str
    path: Path
    captions: str | None
    at: str = ""


@dataclass(frozen=True)
class _Line:
    """A line of a list or table."""

    number: int
    path: Path
    video_id: str | None = None
    captions: str | None = None


def list_videos(videos: Path) -> list[Entry]:
    """The videos of a folder, pattern, list, table or single file, in the order of their ids or lines.

    UserError where there is none, for a list or table that cannot be read, and for a table without paths or with an id
    twice. Files in a list need not exist.
    """
    videos = videos.absolute()
    if videos.is_dir():
        return _found(videos, files_below(videos), f"{videos}: has no video files")
    if videos.suffix in (".txt", ".csv", ".parquet") and videos.is_file():
        return _listed(videos, _lines(videos))
    if videos.is_file():
        return _entries([videos], videos.parent)
    fixed = next((i for i, part in enumerate(videos.parts) if any(c in part for c in "*?[")), None)
    if fixed is None:
        raise UserError(f"{videos}: no such file or folder")
    base = Path(*videos.parts[:fixed])
    pattern = videos.parts[fixed:]
    if "**" in pattern:
        matches = [p for p in files_below(base) if _matches(p.relative_to(base).parts, pattern)]
    else:
        matches = sorted(base.glob(str(Path(*pattern))))
    return _found(base, matches, f"{videos}: matches no video files")


def files_below(folder: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """Every file below in the order of the paths, but hidden ones; also behind links to folders, though in no circle.

    ``above``: the folders, without links, that this one was found in.
    """
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        entries = sorted(folder.iterdir())
    except (FileNotFoundError, PermissionError):  # a disk's lost+found
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from files_below(entry, (*above, real))
        else:
            yield entry


def ids_below(base: Path, paths: Sequence[Path]) -> list[str]:
    """The paths below ``base`` without extension, which stays where the rest is that of another file, or its name."""
    names = [p.relative_to(base) for p in paths]
    bare = [n.with_suffix("") for n in names]
    times = Counter([*bare, *names])
    return [(n if times[b] > 1 else b).as_posix() for n, b in zip(names, bare, strict=True)]


def part_size(n_videos: int) -> int:
    """Videos in one part: 64 parts for as many workers, but no more than 64 videos a part."""
    return min(64, max(1, n_videos // 64))


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path is one of a glob, in which ** is any number of folders."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[i:], pattern[1:]) for i in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _found(base: Path, files: Iterable[Path], if_none: str) -> list[Entry]:
    paths = [p for p in files if _is_video(p)]
    if not paths:
        raise UserError(f"{if_none} ({' '.join(VIDEO_SUFFIXES)})")
    return _entries(paths, base)


def _entries(paths: Sequence[Path], base: Path) -> list[Entry]:
    sidecars = _Sidecars(paths)
    return [Entry(i, p, sidecars.of(p)) for i, p in zip(ids_below(base, paths), paths, strict=True)]


def _listed(file: Path, found: Iterable[_Line]) -> list[Entry]:
    try:
        lines = list(found)
    except (UnicodeDecodeError, csv.Error, pa.ArrowException, OSError) as error:
        kind = "Parquet" if file.suffix == ".parquet" else "text in UTF-8"
        raise UserError(f"{file}: cannot be read as {kind} ({' '.join(str(error).split())})") from None
    if not lines:
        raise UserError(f"{file}: lists no videos")
    paths = [line.path for line in lines]
    sidecars = _Sidecars(paths)
    ids = ids_below(Path(os.path.commonpath([p.parent for p in paths])), paths)
    entries: list[Entry] = []
    seen: dict[str, int] = {}
    for line, derived in zip(lines, ids, strict=True):
        video_id = line.video_id or derived
        if video_id in seen:
            raise UserError(f"{file}:{line.number}: '{video_id}' is also in line {seen[video_id]}")
        seen[video_id] = line.number
        captions = line.captions or sidecars.of(line.path)
        entries.append(Entry(video_id, line.path, captions, f"{file}:{line.number}"))
    return entries


def _lines(file: Path) -> Iterator[_Line]:
    if file.suffix == ".txt":
        for number, text in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
            if text.strip():
                yield _Line(number, _below(file.parent, text.strip()))
        return
    for number, row in _rows(file):
        path = row.get("path")
        if not path:
            raise UserError(f"{file}:{number}: the column path is empty")
        captions = row.get("captions")
        yield _Line(
            number,
            _below(file.parent, path),
            row.get("video_id") or None,
            str(_below(file.parent, captions)) if captions else None,
        )


def _rows(file: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Line (of Parquet: row, from 1) and cells of a table."""
    wanted = ("path", "video_id", "captions")
    if file.suffix == ".parquet":
        names = pq.read_schema(file).names
    else:
        with file.open(newline="", encoding="utf-8-sig") as text:
            names = csv.DictReader(text).fieldnames or []
    if "path" not in names:
        raise UserError(f"{file}: has no column path (it has: {', '.join(names) or 'none'})")
    if file.suffix == ".parquet":
        table = pq.read_table(file, columns=[n for n in wanted if n in names])
        for number, row in enumerate(table.to_pylist(), start=1):
            yield number, {n: None if v is None else str(v) for n, v in row.items()}
        return
    with file.open(newline="", encoding="utf-8-sig") as text:
        reader = csv.DictReader(text)
        for row in reader:
            yield reader.line_num, {n: row.get(n) for n in wanted}


def _below(folder: Path, path: str) -> Path:
    return Path(os.path.normpath(folder / path))


class _Sidecars:
    """Caption files beside videos; each folder is read once."""

    def __init__(self, videos: Sequence[Path]) -> None:
        self._stems = {p.with_suffix("") for p in videos}
        self._folders: dict[Path, dict[str, list[str]]] = {}

    def of(self, video: Path) -> str | None:
        """The best caption file of a video: its own name before one with a language, then by format, then by name."""
        if video.parent not in self._folders:
            self._folders[video.parent] = self._read(video.parent)
        names = self._folders[video.parent].get(video.stem, [])
        return str(video.parent / names[0]) if names else None

    def _read(self, folder: Path) -> dict[str, list[str]]:
        ranked: dict[str, list[tuple[bool, int, str]]] = {}
        for file in folder.iterdir() if folder.is_dir() else ():
            name, stem = file.name, file.stem
            suffix = file.suffix.lower()
            if suffix not in CAPTION_SUFFIXES:
                continue
            format_rank = CAPTION_SUFFIXES.index(suffix)
            ranked.setdefault(stem, []).append((False, format_rank, name))
            video, dot, language = stem.rpartition(".")
            if dot and _LANGUAGE.fullmatch(language) and folder / stem not in self._stems:
                ranked.setdefault(video, []).append((True, format_rank, name))
        return {stem: [name for *_, name in sorted(candidates)] for stem, candidates in ranked.items()}
