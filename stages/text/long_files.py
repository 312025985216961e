"""Text files of any length, gzip-compressed or not: their lines in stretches, for several workers."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

BLOCK_BYTES = 1 << 20
"""Read at a time."""
GZIP = 16 + zlib.MAX_WBITS
"""What zlib calls gzip's format."""


class Line(NamedTuple):
    """A line of a file."""

    number: int
    """From 1."""
    at: int
    """Where the block starts that the line's first byte is in, in bytes of the file as it is on disk."""
    text: bytes
    damage: str | None = None
    """Why there is no text: the compressed file ends here, in the middle, or cannot be unpacked."""


class LineStream:
    """The lines of files in stretches. What lies between two stretches of a file is read over, not read again: a worker
    that takes them in order reads a compressed file once."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._lines: Iterator[Line] = iter(())
        self._next: Line | None = None
        self._reached = 0
        """Up to where in the file lines have been read."""

    def lines(self, path: Path, start: int, end: int) -> Iterator[Line]:
        """The lines that begin in the blocks [start, end) of a file, in bytes on disk."""
        if path != self._path or start < self._reached:
            self._path, self._lines = path, numbered_lines(path)
            self._next = next(self._lines, None)
        self._reached = end
        while self._next and self._next.at < end:
            if self._next.at >= start:
                yield self._next
            self._next = next(self._lines, None)


def numbered_lines(path: Path) -> Iterator[Line]:
    """Every line, without what ends it. After damage there are no more."""
    rest, at, number = b"", 0, 1
    for offset, text, damage in _blocks(path):
        *whole, last = text.split(b"\n")
        for line in whole:
            yield Line(number, at if rest else offset, rest + line)
            rest, number = b"", number + 1
        if damage:
            yield Line(number, offset, b"", damage)
            return
        if last and not rest:
            at = offset
        rest += last
    if rest:
        yield Line(number, at, rest)


def _blocks(path: Path) -> Iterator[tuple[int, bytes, str | None]]:
    """Offset and text of a file's blocks, of a compressed file what they unpack to, and what is wrong with the last."""
    size = path.stat().st_size
    unpack = zlib.decompressobj(GZIP)
    with path.open("rb") as file:
        for offset in range(0, size, BLOCK_BYTES):
            text, damage = file.read(BLOCK_BYTES), None
            if path.suffix == ".gz":
                block, text = text, b""
                try:
                    text = unpack.decompress(block)
                    while unpack.eof and unpack.unused_data:  # several compressed files, one after another
                        block, unpack = unpack.unused_data, zlib.decompressobj(GZIP)
                        text += unpack.decompress(block)
                except zlib.error as error:
                    damage = f"the file is damaged after byte {offset} ({error}); get it again"
                if offset + BLOCK_BYTES >= size and not unpack.eof and not damage:
                    damage = "the file ends in the middle of its compressed data; get it again"
            yield offset, text, damage
