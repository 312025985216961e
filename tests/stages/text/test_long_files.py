from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from stages.text.long_files import BLOCK_BYTES, LineStream, numbered_lines


@pytest.fixture(scope="module")
def texts() -> list[bytes]:
    """Some 4 MB that hardly compress; a few lines are longer than a block."""
    draw = random.Random(0)
    return [draw.randbytes(draw.choice((0, 10, 90_000, 1_300_000))).hex().encode() for _ in range(20)]


def write(path: Path, texts: list[bytes], last: bytes = b"\n") -> Path:
    text = b"\n".join(texts) + last
    path.write_bytes(gzip.compress(text, 1) if path.suffix == ".gz" else text)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_stretches_are_every_line_once_whatever_the_order_of_reading(
    name: str, texts: list[bytes], tmp_path: Path
) -> None:
    path = write(tmp_path / name, texts)
    step = 2 * BLOCK_BYTES
    starts = range(0, path.stat().st_size, step)
    assert len(starts) > 2
    stream = LineStream()
    in_order = [[(line.number, line.text) for line in stream.lines(path, s, s + step)] for s in starts]
    assert [line for stretch in in_order for line in stretch] == list(enumerate(texts, 1))
    alone = [[(line.number, line.text) for line in LineStream().lines(path, s, s + step)] for s in starts]
    assert alone == in_order
    backwards = [[(line.number, line.text) for line in stream.lines(path, s, s + step)] for s in reversed(starts)]
    assert backwards[::-1] == in_order


def test_a_last_line_without_its_end_and_several_compressed_files_in_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gz", [b"one", b"two"], last=b"")
    path.write_bytes(path.read_bytes() + gzip.compress(b"\nthree"))
    assert [line.text for line in numbered_lines(path)] == [b"one", b"two", b"three"]
    (tmp_path / "empty.jsonl").touch()
    assert list(numbered_lines(tmp_path / "empty.jsonl")) == []


def test_damage_is_the_last_line_of_the_stretch_that_it_is_in(texts: list[bytes], tmp_path: Path) -> None:
    whole = write(tmp_path / "a.gz", texts).read_bytes()
    cut = tmp_path / "cut.gz"
    cut.write_bytes(whole[: 2 * BLOCK_BYTES + 9])
    lines = list(numbered_lines(cut))
    assert [line.text for line in lines[:-1]] == texts[: len(lines) - 1]
    assert lines[-1].damage == "the file ends in the middle of its compressed data; get it again"
    assert lines[-1].at == 2 * BLOCK_BYTES
    assert [line.damage for line in LineStream().lines(cut, 0, 2 * BLOCK_BYTES) if line.damage] == []
    broken = tmp_path / "broken.gz"
    broken.write_bytes(whole[:BLOCK_BYTES] + bytes(1000) + whole[BLOCK_BYTES + 1000 :])
    *_, last = numbered_lines(broken)
    assert "damaged after byte" in str(last.damage)
