"""Sentences with what is seen meanwhile, stretches without speech, and who is in which split."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from pipeline.store import MANIFEST, write_json, write_part
from stages.video.align_speech import SEGMENTS, AlignSpeech
from stages.video.splits import split_of
from tests.stages.video.clips_and_speech import Sentence, clips, spoken


def artifact(folder: Path, parts: list[pa.Table]) -> Artifact:
    for i, table in enumerate(parts):
        write_part(folder / f"part-{i:05d}.parquet", table)
    folder.mkdir(exist_ok=True)
    write_json(folder / MANIFEST, {"key": folder.name})
    return Artifact(folder, folder.name)


def align(folder: Path, tokens: list[pa.Table], speech: list[pa.Table] | None, **fields: Any) -> Artifact:
    inputs = {"tokens": artifact(folder / "tokens", tokens)}
    if speech is not None:
        inputs["speech"] = artifact(folder / "speech", speech)
    if (folder / "folder").is_dir():
        inputs["folder"] = Artifact(folder / "folder", "folder")
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


def test_splits_have_the_asked_shares_and_stay_when_videos_are_added() -> None:
    names = [f"video {i}" for i in range(20_000)]
    before = {name: split_of(name, 0, 0.1, 0.2) for name in names}
    shares = {split: n / len(names) for split, n in Counter(before.values()).items()}
    assert shares == pytest.approx({"train": 0.7, "dev": 0.1, "test": 0.2}, abs=0.01)
    assert {name: split_of(name, 1, 0.1, 0.2) for name in names} != before
    assert Counter(split_of(name, 0, 0.0, 0.0) for name in names) == {"train": 20_000}
    assert split_of("video 22", 0, 0.05, 0.05) == "dev"
    assert split_of("video 10", 0, 0.05, 0.05) == "test"


def test_all_segments_of_a_video_share_its_split(tmp_path: Path) -> None:
    out = align(tmp_path, [clips({f"v{i}": 40 for i in range(50)})], None, dev_fraction=0.2, test_fraction=0.3)
    splits: dict[str, set[str]] = {}
    for row in out.read().to_pylist():
        splits.setdefault(row["video_id"], set()).add(row["split"])
    assert all(split == {split_of(video, 0, 0.2, 0.3)} for video, split in splits.items())
    assert out.manifest["videos"] == Counter(split for (split,) in splits.values())


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_file_gives_the_split(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"split.{suffix}"
    if suffix == "csv":
        path.write_text("split,video_id,note\ntest,007,x\ndev,b,\n")
    else:
        pq.write_table(pa.table({"video_id": ["007", "b"], "split": ["test", "dev"]}), path)
    out = align(tmp_path, [clips({"007": 1, "b": 1, "unlisted": 1})], None, split_file=str(path))
    assert [(r["video_id"], r["split"]) for r in out.read().to_pylist()] == [("007", "test"), ("b", "dev")]
    errors = out.errors()
    assert errors is not None
    assert errors["item"].to_pylist() == ["unlisted"]
    assert errors["reason"][0].as_py().startswith(f"not listed in {path}")


def test_a_split_file_may_lie_in_another_artifact(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "split.csv").write_text("video_id,split\nv,dev\n")
    out = align(tmp_path, [clips({"v": 1})], None, split_file="split.csv")
    assert out.read()["split"].to_pylist() == ["dev"]
    assert AlignSpeech(split_file="split.csv").key({"tokens": "t", "folder": "f"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video_id,split\nv,training\n", r"split\.csv, row 1: the split of 'v' is 'training', not one of train, dev"),
        ("video_id,split\nv,dev\nv,test\n", r"row 2: 'v' is in 'test' here and in 'dev' before"),
        ("video,split\nv,dev\n", "not a CSV or Parquet file with the columns video_id and split"),
        ("", "not a CSV or Parquet file with the columns video_id and split"),
    ],
)
def test_unusable_split_files_are_told_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(UserError, match=message) as error:
        align(tmp_path, [clips({"v": 1})], None, split_file=str(tmp_path / "split.csv"))
    assert "\n" not in str(error.value)


def test_a_missing_split_file_is_found_while_planning_and_a_changed_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    stage = AlignSpeech(split_file=str(path))
    with pytest.raises(UserError, match=r"split\.csv: no such file or directory"):
        stage.key({"tokens": "t"})
    path.write_text("video_id,split\nv,dev\n")
    before = stage.key({"tokens": "t"})
    path.write_text("video_id,split\nv,train\n")
    assert stage.key({"tokens": "t"}) != before


@pytest.mark.parametrize(
    "fields", [{"segment_tokens": 0}, {"dev_fraction": -0.1}, {"dev_fraction": 0.6, "test_fraction": 0.5}]
)
def test_fields_out_of_range_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=str(next(iter(fields)))):
        AlignSpeech(**fields)
