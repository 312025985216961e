from __future__ import annotations

import random
from collections import Counter

import pytest

from models.conllu import parse
from models.lemma_rules import apply_rule, lemma_rule
from tests.runs import ROOT
from tests.stages.text.small_treebank import sentence

TREEBANKS = sorted((ROOT.parent / "shared/data/ud").glob("*.conllu"))


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
    assert lemma_rule("Walks", "walk") == lemma_rule("sees", "see") != "↓0;d¦"


def test_a_rule_lemmatises_words_it_was_not_made_of() -> None:
    assert apply_rule("Tagging", lemma_rule("walking", "walk")) == "tagg"
    assert apply_rule("berlin", lemma_rule("Paris", "Paris")) == "Berlin"


def test_a_rule_that_deletes_all_there_is_or_more_leaves_the_form() -> None:
    """An empty lemma, or one of blanks, would be no CoNLL-U."""
    assert apply_rule("Ox", lemma_rule("walking", "walk")) == "Ox"
    assert apply_rule("S", lemma_rule("dogs", "dog")) == "S"
    assert apply_rule("x s", lemma_rule("unsaids", "said")) == "x s"
    assert apply_rule("u s", "↓0;d-¦-") == "u s"


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


@pytest.mark.skipif(not TREEBANKS, reason="no treebanks in ../shared/data/ud")
def test_every_word_of_a_treebank_comes_back() -> None:
    """English and Upper Sorbian. Hardly a word needs a rule that no other can have: Bahnhofstraße does."""
    pairs: Counter[tuple[str, str]] = Counter()
    for path in TREEBANKS:
        for block in path.read_text(encoding="utf-8").strip().split("\n\n"):
            words = parse(block)
            pairs.update(zip(words.words, words.lemmas, strict=True))
    rules = {pair: lemma_rule(*pair) for pair in pairs}
    assert all(apply_rule(form, rule) == lemma for (form, lemma), rule in rules.items())
    kept = sum(n for pair, n in pairs.items() if rules[pair].startswith("="))
    assert kept < 1e-4 * pairs.total()
    assert len(set(rules.values())) < 0.1 * len(pairs)
