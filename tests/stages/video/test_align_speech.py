"""Sentences with what is seen meanwhile, stretches without speech, and who is in which split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from pipeline.store import MANIFEST, write_json, write_part
from stages.video.align_speech import SEGMENTS, AlignSpeech
from tests.stages.video.clips_and_speech import Sentence, clips, spoken


def artifact(folder: Path, parts: list[pa.Table]) -> Artifact:
    for i, table in enumerate(parts):
        write_part(folder / f"part-{i:05d}.parquet", table)
    folder.mkdir(exist_ok=True)
    write_json(folder / MANIFEST, {"key": folder.name})
    return Artifact(folder, folder.name)


def align(
    folder: Path,
    tokens: list[pa.Table],
    speech: list[pa.Table] | None,
    splits: dict[str, str] | None = None,
    **fields: Any,
) -> Artifact:
    inputs = {"tokens": artifact(folder / "tokens", tokens)}
    if speech is not None:
        inputs["speech"] = artifact(folder / "speech", speech)
    parts = []
    for i, table in enumerate(tokens):
        videos = table["video_id"].to_pylist() + (speech[i]["video_id"].to_pylist() if speech else [])
        parts.append(splits or dict.fromkeys(videos, "train"))
    tables = [pa.table({"video_id": pa.array(p, pa.string()), "split": list(p.values())}) for p in parts]
    inputs["splits"] = artifact(folder / "splits", tables)
    out = Artifact(folder / "out", "key")
    make(AlignSpeech(**fields), inputs, out, LocalExecutor())
    return out


def segments(folder: Path, n_clips: int, sentences: list[Sentence], **fields: Any) -> list[tuple[Any, ...]]:
    """(start, end, text, tokens) of one video."""
    out = align(folder, [clips({"v": n_clips})], [spoken({"v": sentences} if sentences else {})], **fields)
    rows = out.read().to_pylist()
    assert [r["segment"] for r in rows] == list(range(len(rows)))
    return [(r["start_s"], r["end_s"], r["text"], r["tokens"]) for r in rows]


# ------------------------------------------------------------------------------------------------ segments


def test_a_clip_belongs_to_the_sentence_its_midpoint_lies_in(tmp_path: Path) -> None:
    # midpoints at 0.75, 2.25, 3.75, 5.25, 6.75
    assert segments(tmp_path, 5, [(0.8, 5.0, "stir the soup"), (5.0, 7.5, "now serve")]) == [
        (0.0, 1.5, None, [0]),
        (0.8, 5.0, "stir the soup", [1, 2]),
        (5.0, 7.5, "now serve", [3, 4]),
    ]


def test_a_midpoint_on_a_boundary_belongs_to_what_begins_there(tmp_path: Path) -> None:
    assert segments(tmp_path, 2, [(0.0, 2.25, "one"), (2.25, 3.0, "two")]) == [
        (0.0, 2.25, "one", [0]),
        (2.25, 3.0, "two", [1]),
    ]


def test_of_overlapping_sentences_the_one_that_began_last_has_the_clip(tmp_path: Path) -> None:
    # rolling captions: each stays on the screen while the next is spoken; one lies within another
    rows = segments(tmp_path, 8, [(0.0, 5.0, "one"), (3.0, 12.0, "two"), (6.0, 7.5, "three")])
    assert rows == [
        (0.0, 5.0, "one", [0, 1]),
        (3.0, 12.0, "two", [2, 3, 5, 6, 7]),
        (6.0, 7.5, "three", [4]),
    ]


def test_of_sentences_that_begin_together_the_shorter_comes_first_and_has_its_clips(tmp_path: Path) -> None:
    rows = segments(tmp_path, 4, [(0.0, 6.0, "long"), (0.0, 3.0, "short")])
    assert rows == [(0.0, 3.0, "short", [0, 1]), (0.0, 6.0, "long", [2, 3])]


def test_a_sentence_without_a_midpoint_keeps_no_tokens(tmp_path: Path) -> None:
    assert segments(tmp_path, 2, [(0.9, 2.0, "okay")]) == [
        (0.0, 3.0, None, [0, 1]),
        (0.9, 2.0, "okay", []),
    ]


def test_stretches_without_speech_are_cut_into_segments(tmp_path: Path) -> None:
    rows = segments(tmp_path, 40, [(30.0, 36.0, "stir")])
    assert [(r[0], r[1], r[2], len(r[3])) for r in rows] == [
        (0.0, 24.0, None, 16),
        (24.0, 30.0, None, 4),
        (30.0, 36.0, "stir", 4),
        (36.0, 60.0, None, 16),
    ]
    assert [t for r in rows for t in r[3]] == list(range(40))


@pytest.mark.parametrize("heard", [[], [(0.0, 9.0, None)], [(0.0, 9.0, "  ")]])
def test_silent_videos_are_segments_of_sixteen(heard: list[Sentence], tmp_path: Path) -> None:
    rows = segments(tmp_path, 35, heard)
    assert [len(tokens) for *_, tokens in rows] == [16, 16, 3]
    assert {text for *_, text, _ in rows} == {None}


def test_segment_length_is_a_field(tmp_path: Path) -> None:
    assert [len(tokens) for *_, tokens in segments(tmp_path, 7, [], segment_tokens=3)] == [3, 3, 1]


def test_without_speech_as_an_input_all_is_silence(tmp_path: Path) -> None:
    out = align(tmp_path, [clips({"a": 2}), clips({"b": 20})], None)
    assert [(r["video_id"], len(r["tokens"])) for r in out.read().to_pylist()] == [("a", 2), ("b", 16), ("b", 4)]


def test_videos_with_speech_alone_keep_their_sentences(tmp_path: Path) -> None:
    tokens = [clips({"a": 1}), clips({})]
    out = align(tmp_path, tokens, [spoken({"failed": [(1, 2, "stir")], "a": []}), spoken({"late": [(3, 4, "cut")]})])
    rows = [(r["video_id"], r["text"], r["tokens"]) for r in out.read().to_pylist()]
    assert rows == [("a", None, [0]), ("failed", "stir", []), ("late", "cut", [])]
    assert [pq.read_metadata(part).num_rows for part in out.parts] == [2, 1]
    assert out.errors() is None


def test_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    sentences: list[Sentence] = [(0.0, 5.0, "one"), (3.0, 12.0, "two"), (6.0, 7.5, "three")]
    tables = clips({"v": 9}), spoken({"v": sentences})
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    forth = align(tmp_path / "a", [tables[0]], [tables[1]])
    back = align(tmp_path / "b", [tables[0].take(list(range(8, -1, -1)))], [tables[1].take([2, 1, 0])])
    assert forth.parts[0].read_bytes() == back.parts[0].read_bytes()
    assert forth.read().schema.equals(SEGMENTS)


def test_inputs_cut_differently_are_refused(tmp_path: Path) -> None:
    apart = [clips({"a": 1}), clips({"b": 1})], [spoken({"b": [(0, 1, "x")]}), spoken({"a": [(0, 1, "y")]})]
    with pytest.raises(UserError, match=r"cut differently \('a' is in parts of different number\): make both from the"):
        align(tmp_path, *apart)
    (tmp_path / "more").mkdir()
    with pytest.raises(UserError, match=r"cut differently \(they have different numbers of parts\)"):
        align(tmp_path / "more", [clips({"a": 1})], [spoken({"a": []}), spoken({})])


# ------------------------------------------------------------------------------------------------ splits


def test_all_segments_of_a_video_have_its_split(tmp_path: Path) -> None:
    out = align(tmp_path, [clips({"a": 40, "b": 20})], None, splits={"a": "dev", "b": "test"})
    assert {(r["video_id"], r["split"]) for r in out.read().to_pylist()} == {("a", "dev"), ("b", "test")}


def test_a_video_without_a_split_is_an_error_row(tmp_path: Path) -> None:
    out = align(tmp_path, [clips({"a": 3, "b": 2})], None, splits={"a": "dev"})
    assert set(out.read()["video_id"].to_pylist()) == {"a"}
    errors = out.errors()
    assert errors is not None
    assert errors["item"].to_pylist() == ["b"]


def test_a_video_of_which_nothing_is_left_is_no_segment(tmp_path: Path) -> None:
    out = align(tmp_path, [clips({"a": 3})], None, splits={"a": "train", "unreadable": "train"})
    assert set(out.read()["video_id"].to_pylist()) == {"a"}
    assert out.errors() is None


def test_no_room_for_tokens_is_refused() -> None:
    with pytest.raises(UserError, match="segment_tokens"):
        AlignSpeech(segment_tokens=0)
