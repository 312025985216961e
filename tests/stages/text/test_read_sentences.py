from pathlib import Path
from typing import Any

import pytest

import stages.text.read_sentences as module
from pipeline import Artifact, Graph, LocalExecutor, Store, UserError, run
from stages.text.read_sentences import Block, ReadSentences, lines_that_begin_in
from stages.text.source_files import as_parts


def read(texts: Path, store: Path, **fields: Any) -> Artifact:
    graph = Graph()
    graph.add("texts", ReadSentences(texts=str(texts), **fields))
    return run(graph, Store(store), LocalExecutor())["texts"]


def test_lines_become_text_only_segments(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "b.txt").write_text("stir the soup.\n\n  add salt \n")
    (tmp_path / "t" / "a.txt").write_text("peel it")
    (tmp_path / "t" / "notes.md").write_text("not a text file")
    rows = read(tmp_path / "t", tmp_path / "store").read().to_pylist()
    assert [(r["video_id"], r["text"]) for r in rows] == [
        ("a.txt", "peel it"),
        ("b.txt", "stir the soup."),
        ("b.txt", "add salt"),
    ]
    assert all(r["tokens"] == [] and r["split"] == "train" for r in rows)


def test_a_line_that_is_not_utf8_is_named_and_the_rest_kept(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"good\nb\xffd\nfine\n")
    artifact = read(tmp_path / "x.txt", tmp_path / "store")
    assert artifact.read()["text"].to_pylist() == ["good", "fine"]
    assert artifact.errors()["reason"].to_pylist() == [f"{tmp_path}/x.txt: the line at byte 5 is not UTF-8"]


def test_a_mark_of_utf8_at_the_start_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("one\ntwo\n", encoding="utf-8-sig")
    assert read(tmp_path / "x.txt", tmp_path / "store").read()["text"].to_pylist() == ["one", "two"]


def test_no_text_is_said_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such file .*a folder with .txt files"):
        read(tmp_path / "nothing", tmp_path / "store")


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_blocks_of_any_size_hold_every_line_once(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x.txt"
    text = "one\n\nthree is longer\nfour\nend without newline"
    path.write_text(text)
    blocks = [lines_that_begin_in(path, start, start + size) for start in range(0, len(text), size)]
    found = [line.decode().rstrip("\n") for block in blocks for _, line in block]
    assert found == text.split("\n")


def test_a_long_file_becomes_several_parts_with_the_same_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"sentence number {i}" for i in range(40)]
    (tmp_path / "x.txt").write_text("\n".join(lines))
    whole = read(tmp_path / "x.txt", tmp_path / "store", dev_fraction=0.5)
    monkeypatch.setattr(module, "BLOCK_BYTES", 50)
    monkeypatch.setattr(module, "PART_BYTES", 100)
    artifact = read(tmp_path / "x.txt", tmp_path / "in_parts", dev_fraction=0.5)
    assert len(artifact.parts) > 3
    assert artifact.read()["text"].to_pylist() == lines
    assert artifact.read().equals(whole.read())


def test_short_files_share_a_part_and_each_is_measured_once() -> None:
    measured = []

    class Measured(Block):
        @property
        def end(self) -> int:  # type: ignore[override]
            measured.append(self.path)
            return self[2]

    names = [str(i) for i in range(1000)]
    parts = as_parts((Measured(name, 0, 10) for name in names), part_bytes=5000)
    assert [part["path"].to_pylist() for (part,) in parts] == [names[:500], names[500:]]
    assert measured == names


def test_a_share_of_the_lines_is_held_out_and_equal_lines_together(tmp_path: Path) -> None:
    lines = [f"sentence number {i}" for i in range(2000)]
    (tmp_path / "x.txt").write_text("\n".join(lines * 2))
    (tmp_path / "y.txt").write_text("\n".join(["one more", *lines]))

    def held_out(name: str, **fields: Any) -> list[str]:
        rows = read(tmp_path / name, tmp_path / "store", **fields).read().to_pylist()
        assert {r["split"] for r in rows} <= {"train", "dev"}
        return [r["text"] for r in rows if r["split"] == "dev"]

    twice = held_out("x.txt", dev_fraction=0.1)
    once = twice[: len(twice) // 2]
    assert twice == once * 2
    assert 150 < len(once) < 250
    assert [t for t in held_out("y.txt", dev_fraction=0.1) if t != "one more"] == once
    assert held_out("x.txt", dev_fraction=0.1, seed=1) != twice
    assert 0 < len(held_out("x.txt")) < 80
    assert held_out("x.txt", dev_fraction=0.0) == []
    with pytest.raises(UserError, match="dev_fraction"):
        ReadSentences(texts="x.txt", dev_fraction=1.0)
