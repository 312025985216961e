from __future__ import annotations

import random
import warnings

import pytest

from models.tag_schemes import Scheme, Span, first_offence, mark_spans, repair, spans_of, tags_of

SPANS = [Span("PER", 0, 1), Span("PER", 1, 3), Span("LOC", 4, 5), Span("ORG", 5, 8)]
WRITTEN = {
    "BIO": "B-PER B-PER I-PER O B-LOC B-ORG I-ORG I-ORG O",
    "IOB1": "I-PER B-PER I-PER O I-LOC I-ORG I-ORG I-ORG O",
    "BIOES": "S-PER B-PER E-PER O S-LOC B-ORG I-ORG E-ORG O",
}


@pytest.mark.parametrize("scheme", WRITTEN)
def test_every_scheme_says_the_same_spans(scheme: Scheme) -> None:
    tags = WRITTEN[scheme].split()
    assert tags_of(SPANS, 9, scheme) == tags
    assert spans_of(tags) == SPANS
    assert first_offence(tags, scheme) is None


@pytest.mark.parametrize(
    ("tags", "repaired"),
    [
        ("I-PER I-PER O I-LOC I-ORG I-ORG B-ORG", "B-PER I-PER O B-LOC B-ORG I-ORG B-ORG"),
        ("B-PER E-PER I-PER S-LOC I-LOC E-ORG", "B-PER I-PER B-PER B-LOC B-LOC B-ORG"),
        ("B-PER I-PER O", "B-PER I-PER O"),
        ("", ""),
    ],
)
def test_what_nothing_begins_begins_all_the_same(tags: str, repaired: str) -> None:
    assert repair(tags.split()) == repaired.split()


@pytest.mark.parametrize(
    ("tags", "scheme", "offence"),
    [
        ("O I-PER", "BIO", (1, "'I-PER' is against BIO, which has 'B-PER' here")),
        ("B-PER I-LOC", "BIO", (1, "'I-LOC' is against BIO, which has 'B-LOC' here")),
        ("O O B-PER", "IOB1", (2, "'B-PER' is against IOB1, which has 'I-PER' here")),
        ("I-LOC B-PER", "IOB1", (1, "'B-PER' is against IOB1, which has 'I-PER' here")),
        ("B-PER O", "BIOES", (0, "'B-PER' is against BIOES, which has 'S-PER' here")),
        ("B-PER I-PER", "BIOES", (1, "'I-PER' is against BIOES, which has 'E-PER' here")),
        ("O E-PER", "BIOES", (1, "'E-PER' is against BIOES, which has 'S-PER' here")),
        ("O S-PER", "BIO", (1, "'S-PER' is no tag of BIO")),
        ("O NOUN", "BIO", (1, "'NOUN' is no tag of BIO")),
        ("B-", "BIO", (0, "'B-' is no tag of BIO")),
    ],
)
def test_the_first_word_against_the_scheme_is_named(tags: str, scheme: Scheme, offence: tuple[int, str]) -> None:
    assert first_offence(tags.split(), scheme) == offence


def test_parts_of_speech_mark_no_spans() -> None:
    assert mark_spans({"O", "B-PER", "E-creative-work"})
    assert not mark_spans({"NOUN", "O"})


def test_spans_are_those_of_seqeval() -> None:
    from seqeval.metrics.sequence_labeling import get_entities

    draw = random.Random(0)
    known = ["O", *(f"{p}-{label}" for p in "BIES" for label in ("X", "Y-Z"))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2000):
            tags = draw.choices(known, k=draw.randint(1, 8))
            assert [(s.label, s.start, s.end - 1) for s in spans_of(tags)] == get_entities(tags), tags
