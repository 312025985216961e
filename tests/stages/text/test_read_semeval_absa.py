from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline import UserError
from stages.text.read_semeval_absa import ReadSemevalAbsa, share_of
from tests.stages.text.reading import read

GOOD = """<sentence id="3"><text>The  fish &amp; chips were cold.</text>
<aspectTerms><aspectTerm term="fish" polarity="negative" from="5" to="9"/></aspectTerms>
<aspectCategories><aspectCategory category="food" polarity="negative"/>
<aspectCategory category="anecdotes/miscellaneous" polarity="neutral"/></aspectCategories></sentence>"""


def read_xml(folder: Path, *sentences: str, **fields: Any) -> Any:
    (folder / "train.xml").write_text(f"<sentences>{''.join(sentences)}</sentences>")
    return read(ReadSemevalAbsa(train=str(folder / "train.xml"), **fields), folder)


def test_every_category_is_asked_about(tmp_path: Path) -> None:
    rows, errors = read_xml(tmp_path, GOOD)
    assert errors == []
    assert {(r["id"], r["text"], r["target"], r["split"]) for r in rows} == {
        ("train.xml:3", "The fish & chips were cold.", None, "train")
    }
    assert [(r["aspect"], r["label"]) for r in rows] == [
        ("price", "none"),
        ("anecdotes", "neutral"),
        ("food", "negative"),
        ("ambience", "none"),
        ("service", "none"),
    ]


def test_opinions_that_are_not_asked_about_are_left_out(tmp_path: Path) -> None:
    rows, errors = read_xml(tmp_path, GOOD, aspects=("food", "price"))
    assert errors == []
    assert [(r["aspect"], r["label"]) for r in rows] == [("food", "negative"), ("price", "none")]
    with pytest.raises(UserError, match="aspects must name one or more of price, anecdotes/miscellaneous, food"):
        ReadSemevalAbsa(train="a.xml", aspects=("foods",))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (GOOD.replace("food", "fuel").replace('"3"', '"4"'), "the category 'fuel' of 4 is none of price, "),
        (GOOD.replace('"neutral"', '"meh"').replace('"3"', '"4"'), "the polarity 'meh' of 4 is none of positive, "),
        (GOOD.replace("anecdotes/miscellaneous", "food").replace('"3"', '"4"'), "two polarities of food in 4"),
        (GOOD.replace(' id="3"', ""), "the sentence has no id"),
        ('<sentence id="4"><text> </text></sentence>', "the text of 4 is empty"),
        (GOOD, "another sentence has the id 3"),
    ],
)
def test_a_bad_sentence_is_an_error(bad: str, reason: str, tmp_path: Path) -> None:
    rows, errors = read_xml(tmp_path, GOOD, bad)
    assert len(rows) == 5
    ((item, said),) = errors
    assert item == "train.xml, sentence 2"
    assert said.startswith(reason)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('<sentences><sentence id="1"><text>a</text>', "not XML"),
        ('<sentences><sentence id="1"><text>a</text></sentence></sentences>', "no sentence has an aspectCategory"),
    ],
)
def test_a_file_of_another_kind_is_said(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(UserError, match=f"a.xml: {reason}"):
        read(ReadSemevalAbsa(train=str(tmp_path / "a.xml")), tmp_path)


def test_a_share_of_the_sentences_is_the_dev_split(tmp_path: Path) -> None:
    sentences = [GOOD.replace('"3"', f'"{i}"') for i in range(200)]
    rows, _ = read_xml(tmp_path, *sentences, dev_fraction=0.2)
    dev = {r["id"] for r in rows if r["split"] == "dev"}
    assert dev == {f"train.xml:{i}" for i in range(200) if share_of(str(i)) < 0.2}
    assert 20 <= len(dev) <= 60
    assert len(rows) == 5 * 200
    with pytest.raises(UserError, match="dev_fraction"):
        ReadSemevalAbsa(train="a.xml", dev="b.xml", dev_fraction=0.1)
