from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import UserError
from stages.text.read_sentihood import ReadSentihood, plain
from tests.stages.text.reading import read


def sentence(id_: int, text: str, *opinions: tuple[str, str, str]) -> dict[str, Any]:
    names = ("target_entity", "aspect", "sentiment")
    return {"id": id_, "text": text, "opinions": [dict(zip(names, o, strict=True)) for o in opinions]}


def test_every_aspect_of_every_place_is_asked_about(tmp_path: Path) -> None:
    opinions = ("LOCATION2", "transit-location", "Positive"), ("LOCATION1", "nightlife", "Negative")
    data = [sentence(7, "LOCATION1 beats LOCATION2's  pubs", *opinions), sentence(9, "LOCATION1 is big")]
    (tmp_path / "train.json").write_text(json.dumps(data))
    rows, errors = read(ReadSentihood(train=str(tmp_path / "train.json")), tmp_path)
    assert errors == []
    assert {r["text"] for r in rows} == {"location - 1 beats location - 2 's pubs", "location - 1 is big"}
    asked = [(r["id"], r["target"], r["aspect"], r["label"]) for r in rows]
    aspects = ("general", "price", "transit location", "safety")
    assert asked == [
        *(("train.json:7", "location - 1", aspect, "None") for aspect in aspects),
        *(("train.json:7", "location - 2", a, "Positive" if a == "transit location" else "None") for a in aspects),
        *(("train.json:9", "location - 1", aspect, "None") for aspect in aspects),
    ]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (sentence(1, " "), "the text is empty"),
        (sentence(1, "it is big"), "the text does not name LOCATION1"),
        ({"id": 1, "text": "LOCATION1"}, "not a sentence with id, text and opinions"),
        (
            sentence(1, "LOCATION1") | {"opinions": ["good"]},
            "an opinion needs target_entity, aspect and sentiment: good",
        ),
        ("LOCATION1", "not a sentence with id, text and opinions"),
        (sentence(0, "LOCATION1"), "another sentence has the id 0"),
        (
            sentence(1, "LOCATION1", ("LOCATION2", "price", "Positive")),
            "an opinion is of LOCATION2, which the text does not name",
        ),
        (
            sentence(1, "LOCATION1", ("LOCATION1", "price", "positive")),
            "the sentiment 'positive' is neither Positive nor Negative",
        ),
        (
            sentence(1, "LOCATION1", ("LOCATION1", "price", "Positive"), ("LOCATION1", "price", "Negative")),
            "two opinions on price of LOCATION1",
        ),
    ],
)
def test_a_bad_sentence_is_an_error(bad: Any, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([sentence(0, "LOCATION1 is big"), bad]))
    rows, errors = read(ReadSentihood(train=str(tmp_path / "a.json"), aspects=("price",)), tmp_path)
    assert [r["id"] for r in rows] == ["a.json:0"]
    assert errors == [("a.json, sentence 2", reason)]


@pytest.mark.parametrize(("text", "reason"), [("[", "not JSON"), ("{}", "not a list of sentences")])
def test_a_file_of_another_kind_is_said(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=f"a.json: {reason}"):
        read(ReadSentihood(train=str(tmp_path / "a.json")), tmp_path)


def test_places_are_words_of_their_own() -> None:
    assert plain("LOCATION1the best, not LOCATION2!") == "location - 1 the best, not location - 2 !"


def test_half_a_character_costs_its_sentence(tmp_path: Path) -> None:
    data = [sentence(1, "LOCATION1 is \ud83d"), sentence(2, "LOCATION1 is big")]
    (tmp_path / "train.json").write_text(json.dumps(data))
    rows, errors = read(ReadSentihood(train=str(tmp_path / "train.json")), tmp_path)
    assert {row["id"] for row in rows} == {"train.json:2"}
    assert [(item, reason[:30]) for item, reason in errors] == [
        ("train.json, sentence 1", "a text has half a character, \\")
    ]
