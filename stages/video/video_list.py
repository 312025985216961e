"""Finding the videos that a path stands for, their ids and their caption files."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.errors import UserError

VIDEO_SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts"),
    *(".vob", ".webm", ".wmv"),
)
CAPTION_SUFFIXES = (".json3", ".vtt", ".srt")
"""The best first: the words of .json3 have times of their own."""
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

    UserError where there is none, and for a table without paths or with an id twice. Files in a list need not exist.
    """
    videos = videos.absolute()
    if videos.is_dir():
        files = (p for p in videos.rglob("*") if not any(n.startswith(".") for n in p.relative_to(videos).parts))
        return _found(sorted(p for p in files if _is_video(p)), videos, f"{videos}: has no video files")
    if videos.suffix in (".txt", ".csv", ".parquet") and videos.is_file():
        return _listed(videos, list(_lines(videos)))
    if videos.is_file():
        return _found([videos], videos.parent, "")
    fixed = next((i for i, part in enumerate(videos.parts) if any(c in part for c in "*?[")), None)
    if fixed is None:
        raise UserError(f"{videos}: no such file or folder")
    base = Path(*videos.parts[:fixed])
    matches = sorted(p for p in base.glob(str(Path(*videos.parts[fixed:]))) if _is_video(p))
    return _found(matches, base, f"{videos}: matches no video files")


def part_size(n_videos: int) -> int:
    """Videos in one part: 64 parts for as many workers, but no more than 64 videos a part."""
    return min(64, max(1, n_videos // 64))


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


def _found(paths: Sequence[Path], base: Path, if_none: str) -> list[Entry]:
    if not paths:
        raise UserError(f"{if_none} ({' '.join(VIDEO_SUFFIXES)})")
    sidecars = _Sidecars(paths)
    return [Entry(i, p, sidecars.of(p)) for i, p in zip(_ids(paths, base), paths, strict=True)]


def _listed(file: Path, lines: Sequence[_Line]) -> list[Entry]:
    if not lines:
        raise UserError(f"{file}: lists no videos")
    paths = [line.path for line in lines]
    sidecars = _Sidecars(paths)
    ids = _ids(paths, Path(os.path.commonpath([p.parent for p in paths])))
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


def _ids(paths: Sequence[Path], base: Path) -> list[str]:
    relative = [p.relative_to(base) for p in paths]
    times = Counter(r.with_suffix("") for r in relative)
    return [(r if times[r.with_suffix("")] > 1 else r.with_suffix("")).as_posix() for r in relative]


def _lines(file: Path) -> Iterator[_Line]:
    if file.suffix == ".txt":
        for number, text in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
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
            if file.suffix not in CAPTION_SUFFIXES:
                continue
            format_rank = CAPTION_SUFFIXES.index(file.suffix)
            ranked.setdefault(stem, []).append((False, format_rank, name))
            video, dot, language = stem.rpartition(".")
            if dot and _LANGUAGE.fullmatch(language) and folder / stem not in self._stems:
                ranked.setdefault(video, []).append((True, format_rank, name))
        return {stem: [name for *_, name in sorted(candidates)] for stem, candidates in ranked.items()}
