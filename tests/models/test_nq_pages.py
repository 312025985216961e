from __future__ import annotations

from typing import Any

import pytest

from models.nq_pages import page, unread_page
from tests.stages.text.small_pages import annotated, annotation, nq_page, simplified

PAGE = nq_page(-12, "when", [("P", "in 1895 ."), ("Table", "a b"), ("P", ""), ("Ul", "x"), ("Tr", "y")])
"""Tokens: <H1> page </H1> · <P> in 1895 . </P> · <Table> a b </Table> · <P> </P> · <Ul> x </Ul> · <Tr> y </Tr>."""


def test_the_words_of_the_top_level_candidates_and_where_they_are() -> None:
    row = page(annotated(PAGE, annotation(PAGE, 0, [(5, 6)])), "train")
    assert (row["id"], row["question"], row["title"], row["split"]) == ("-12", "when", "page", "train")
    found = [(c["index"], c["kind"], c["words"], c["tokens"], (c["start"], c["end"])) for c in row["candidates"]]
    assert found == [
        (0, "Paragraph", "in 1895 .", [4, 5, 6], (3, 8)),
        (1, "Table", "a b", [9, 10], (8, 12)),  # 2 is nested in it, 3 has no words
        (4, "List", "x", [15], (14, 17)),
        (6, "Other", "y", [18], (17, 20)),
    ]
    assert row["annotations"] == [
        {"candidate": 0, "start": 3, "end": 8, "short": [{"start": 5, "end": 6}], "yes_no": "NONE"}
    ]


@pytest.mark.parametrize(
    ("tag", "kind"),
    [("P", "Paragraph"), ("Table", "Table"), ("Ul", "List"), ("Ol", "List"), ("Dl", "List"), ("Tr", "Other")],
)
def test_the_kind_of_a_candidate_is_that_of_its_tag(tag: str, kind: str) -> None:
    assert [c["kind"] for c in page(nq_page(1, "q", [(tag, "x")]))["candidates"]] == [kind]


def test_the_simplified_format_is_the_same_page() -> None:
    original = annotated(PAGE, annotation(PAGE, 1, yes_no="YES"), annotation(PAGE))
    rows = page(original, "train"), page(simplified(original), "train")
    assert {**rows[0], "title": None} == rows[1]


def test_a_candidate_without_its_index_is_found_by_its_span() -> None:
    plain = annotated(PAGE, annotation(PAGE, 1))
    del plain["annotations"][0]["long_answer"]["candidate_index"]
    assert page(plain)["annotations"][0]["candidate"] == 1


def test_blanks_in_tokens_go_and_so_do_words_of_nothing_else() -> None:
    spaced = nq_page(1, "q", [("P", "a b c")])
    spaced["document_tokens"][4]["token"] = "a a"
    spaced["document_tokens"][5]["token"] = " "
    (candidate,) = page(spaced)["candidates"]
    assert (candidate["words"], candidate["tokens"]) == ("aa c", [4, 6])


def test_a_page_that_nobody_annotated() -> None:
    assert page(PAGE)["annotations"] is None


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ([], "not a page of Natural Questions"),
        ({"question_text": "q"}, "has no example_id"),
        ({**PAGE, "question_text": " "}, "has no question_text"),
        ({k: v for k, v in PAGE.items() if k != "document_tokens"}, "neither document_tokens"),
        ({k: v for k, v in PAGE.items() if k != "long_answer_candidates"}, "KeyError: 'long_answer_candidates'"),
        ({**PAGE, "long_answer_candidates": []}, "no top-level candidate with words"),
        (nq_page(1, "q", [("P", ""), ("Ul", "")]), "no top-level candidate with words"),
        ({**PAGE, "document_tokens": PAGE["document_tokens"][:9]}, r"candidate 1 is \[8, 12\), but the page has 9"),
        (annotated(PAGE, {**annotation(PAGE), "yes_no_answer": "maybe"}), "yes_no_answer is 'maybe'"),
    ],
)
def test_what_is_no_page(entry: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        page(entry)


def test_of_a_page_that_cannot_be_read_what_annotators_said_is_kept() -> None:
    said = annotated(nq_page(1, "q", [("P", "")]), annotation(PAGE, 0, [(5, 6)]))
    row = unread_page({**said, "document_title": 5}, "test")
    expected = page(annotated(PAGE, annotation(PAGE, 0, [(5, 6)])))["annotations"]
    assert row == {
        **{"id": "1", "question": "q", "title": "5", "candidates": [], "split": "test"},
        "annotations": expected,
    }
    broken = unread_page({"example_id": 2, "annotations": [{}]}, "dev")
    assert broken is not None
    assert (broken["id"], broken["question"], broken["annotations"]) == ("2", "", None)
    assert unread_page({"question_text": "q"}, "dev") is None
    assert unread_page([], "dev") is None


def test_a_title_that_is_no_text() -> None:
    assert page({**PAGE, "document_title": 1984})["title"] == "1984"
