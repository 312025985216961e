from __future__ import annotations

import random

import pytest

from models.conllu import parse
from models.lemma_rules import KEEP, apply_rule, lemma_rule
from tests.stages.text.small_treebank import sentence


@pytest.mark.parametrize(
    ("form", "lemma", "rule"),
    [
        ("the", "the", "↓0;d¦"),
        ("The", "the", "↓0;d¦"),
        ("Paris", "Paris", "↑0¦↓1;d¦"),
        ("USA", "USA", "↑0;d¦"),
        ("dogs", "dog", "↓0;d¦-"),
        ("ridden", "ride", "↓0;d¦+e---"),
        ("gegangen", "gehen", "↓0;d¦+h+e+n------"),
        ("ungern", "gern", "↓0;d--¦"),
        ("went", "go", "↓0;ago"),
        ("is", "be", "↓0;abe"),
        ("McDonalds", "McDonald", "↑0¦↓1¦↑2¦↓3;d¦-"),
        ("vitamina", "vitaminA", "↓0¦↑-1;d¦"),
        ("Straße", "Straße", "=Straße"),
        ("İ", "İ", "=İ"),
    ],
)
def test_rules_by_hand(form: str, lemma: str, rule: str) -> None:
    assert lemma_rule(form, lemma) == rule
    assert apply_rule(form, rule) == lemma


def test_words_of_one_paradigm_share_a_rule() -> None:
    assert lemma_rule("walking", "walk") == lemma_rule("Seeing", "see")
    assert lemma_rule("Walks", "walk") == lemma_rule("sees", "see") != KEEP


def test_a_rule_lemmatises_words_it_was_not_made_of() -> None:
    assert apply_rule("Tagging", lemma_rule("walking", "walk")) == "tagg"
    assert apply_rule("berlin", lemma_rule("Paris", "Paris")) == "Berlin"


def test_a_rule_that_deletes_more_than_there_is_leaves_the_form() -> None:
    assert apply_rule("Ox", lemma_rule("walking", "walk")) == "Ox"


@pytest.mark.parametrize("word", ["a¦b;c", "+-", "=", "d¦", "_", "ab", "ﬁ", "ŉ", "ΣΑΣ", "ǅ", "مابين", "⚡", "İstanbul"])
def test_any_two_words_have_a_rule_that_leads_from_one_to_the_other(word: str) -> None:
    for other in ("Go", word, word + word, word[::-1], word.upper(), word.lower(), "x" + word + "Y"):
        assert apply_rule(word, lemma_rule(word, other)) == other
        assert apply_rule(other, lemma_rule(other, word)) == word


def test_random_words_come_back() -> None:
    draw = random.Random(0)
    for _ in range(2000):
        form, lemma = ("".join(draw.choices("aAbBßİ¦+-;=", k=draw.randint(1, 6))) for _ in range(2))
        assert apply_rule(form, lemma_rule(form, lemma)) == lemma


def test_words_of_ascii_letters_come_back_by_a_rule_that_others_share() -> None:
    """And not by "=", which keeps the lemma as it is and is of no use to any other word."""
    draw = random.Random(1)
    pairs = [("".join(draw.choices("aAbBcC.-+=;0", k=draw.randint(1, 6))) for _ in range(2)) for _ in range(2000)]
    words = [parse(sentence(i)) for i in range(60)]
    pairs += [pair for w in words for pair in zip(w.words, w.lemmas, strict=True)]
    for form, lemma in pairs:
        rule = lemma_rule(form, lemma)
        assert apply_rule(form, rule) == lemma
        assert not rule.startswith("=")
