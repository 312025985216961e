import json
from itertools import pairwise
from pathlib import Path

import pytest

from stages.video.speech.caption_json import find_entries, read_entry
from stages.video.speech.sentences import Sentence, sentences

HOWTO100M = {
    "aaaaaaaaaaa": {
        "start": [0.0, 1.5, 8.0],
        "end": [4.0, 5.0, 9.0],
        "text": ["so cut the", 'onion "here" {now} [yes] \\', "and fry it"],
    },
    "bbb\u00e9bbbbbbb": {"start": [], "end": [], "text": []},
}
YOUCOOK = {
    "v_ccccccccccc": {
        "duration": 206.86,
        "timestamps": [[67, 89], [47, 60]],
        "sentences": ["fry  it", "cut the onion"],
    }
}
YOUCOOK_OFFICIAL = {
    "taxonomy": [{"a": 1}, 2, "x,y"],
    "database": {
        "ccccccccccc": {
            "duration": 206.86,
            "subset": "training",
            "annotations": [
                {"segment": [47, 60], "id": 0, "sentence": "cut the onion"},
                {"segment": [67, 89], "id": 1, "sentence": "fry it"},
            ],
        },
        "ddddddddddd": {"duration": 1, "subset": "testing"},
    },
}


def write(path: Path, content: object, **style: object) -> Path:
    path.write_text(json.dumps(content, **style), encoding="utf-8")
    return path


def entries(path: Path) -> dict[str, object]:
    raw = path.read_bytes()
    return {video_id: json.loads(raw[first : first + size]) for video_id, first, size in find_entries(path)}


@pytest.mark.parametrize("style", [{}, {"indent": 1}, {"separators": (",", ":")}, {"ensure_ascii": False}])
@pytest.mark.parametrize("content", [HOWTO100M, YOUCOOK])
def test_the_bytes_of_an_entry_are_that_entry(tmp_path: Path, content: dict[str, object], style: dict) -> None:
    assert entries(write(tmp_path / "a.json", content, **style)) == content


@pytest.mark.parametrize("style", [{}, {"indent": 1}, {"separators": (",", ":")}])
def test_youcooks_official_file_has_its_entries_in_its_database(tmp_path: Path, style: dict) -> None:
    found = entries(write(tmp_path / "a.json", YOUCOOK_OFFICIAL, **style))
    assert found == {"taxonomy": YOUCOOK_OFFICIAL["taxonomy"], **YOUCOOK_OFFICIAL["database"]}


@pytest.mark.parametrize("content", [YOUCOOK, YOUCOOK_OFFICIAL])
def test_annotated_sentences_stay_as_they_are(tmp_path: Path, content: dict[str, object]) -> None:
    path = write(tmp_path / "a.json", content)
    ((first, size),) = [place for video_id, *place in find_entries(path) if video_id.endswith("ccccccccccc")]
    assert read_entry(path, first, size) == [Sentence(47, 60, "cut the onion"), Sentence(67, 89, "fry it")]


def test_overlapping_recognised_lines_follow_each_other(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", HOWTO100M)
    (_, first, size), (_, *empty) = find_entries(path)
    words = read_entry(path, first, size)
    found = sentences(words, pause_s=0.7, max_words=30)
    assert [s.text for s in found] == ['so cut the onion "here" {now} \\', "and fry it"]
    assert [s.start_s for s in found] == [0.0, 8.0]
    assert found[0].end_s < 5
    assert all(a.end_s <= b.start_s for a, b in pairwise(words))
    assert read_entry(path, *empty) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the file is empty"),
        ("[]", "no object at byte 0"),
        ('{"a": {"start": [1], "end": [2], "te', "the object at byte 0 does not end"),
        ('{"database": [1]}', "no object at byte"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"a\.json: {reason}"):
        list(find_entries(path))


@pytest.mark.parametrize(
    "entry",
    [
        {"duration": 1},
        {"start": [1], "end": [], "text": ["a"]},
        {"timestamps": [[1]], "sentences": ["a"]},
        [],
        {"start": 1},
    ],
)
def test_an_entry_of_another_kind_is_named(tmp_path: Path, entry: object) -> None:
    path = write(tmp_path / "a.json", {"x": entry})
    ((_, first, size),) = find_entries(path)
    with pytest.raises(ValueError, match=r"a\.json: the entry at byte \d+ is in no known form"):
        read_entry(path, first, size)
