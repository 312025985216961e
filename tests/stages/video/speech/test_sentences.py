import pytest

from stages.video.speech.sentences import sentences
from stages.video.speech.words import Word, split_words


def said(text: str, pauses: dict[int, float] | None = None) -> list[Word]:
    """Words of 0.3 s one after another; ``pauses`` gives the seconds of silence after some of them, by position."""
    words, now = [], 0.0
    for i, word in enumerate(split_words(text)):
        words.append(Word(now, now + 0.3, word))
        now += 0.3 + (pauses or {}).get(i, 0.0)
    return words


def texts(text: str, pauses: dict[int, float] | None = None, max_words: int = 30) -> list[str]:
    return [s.text for s in sentences(said(text, pauses), pause_s=0.7, max_words=max_words)]


@pytest.mark.parametrize(
    "expected",
    [
        ["Cut the onion.", "Then fry it!", "Done?", "Good"],
        ["Add 1.5 cups of Dr. Oetker's sugar.", "Stir, e.g. with a spoon."],
        ["Add 2 tbsp. of oil.", "Then 1 tsp.", "Stir."],
        ["Use no. 5 here.", "No.", "Not that one."],
        ["1. Peel it.", "2. Cut it.", "Bake it at 350.", "Wait."],
        ["Wait... until it is done.", "So...", "Now serve."],
        ['"Ready?" she asked.', '"Yes!"', "He ate."],
        ["J. Child and the U.S. version.", "So am I.", "You too."],
        ["all in small letters.", "still two sentences"],
        ["今天做汤。", "先切洋葱。"],
    ],
)
def test_punctuation_ends_sentences_and_abbreviations_do_not(expected: list[str]) -> None:
    joint = "" if expected[0].endswith("。") else " "
    assert texts(joint.join(expected)) == expected


def test_a_sentence_goes_on_over_a_pause_but_not_over_a_silence() -> None:
    assert texts("Now we add the onions.", {2: 2.0}) == ["Now we add the onions."]
    assert texts("Now we add the onions.", {2: 8.0}) == ["Now we add", "the onions."]


def test_without_punctuation_pauses_end_sentences() -> None:
    text = "cut the onion then fry it"
    assert texts(text, {2: 0.8}) == ["cut the onion", "then fry it"]
    assert texts(text, {2: 0.6}) == [text]


def test_no_sentence_is_too_long_and_the_longest_pause_is_where_it_is_cut() -> None:
    text = " ".join(f"w{i}" for i in range(20))
    assert texts(text, {8: 0.2, 11: 0.5}, max_words=12) == [
        " ".join(f"w{i}" for i in r) for r in (range(12), range(12, 20))
    ]
    assert all(len(t.split()) <= 5 for t in texts(text, max_words=5))
    assert texts("take a big red onion and a knife, then cut it up", max_words=8)[0].endswith("knife,")


def test_a_long_punctuated_sentence_is_cut_too_and_its_neighbours_stay() -> None:
    long = " ".join(["stir"] * 39) + " it."
    found = texts(f"Hello there. {long} Bye.", max_words=30)
    assert found[0] == "Hello there."
    assert found[-1] == "Bye."
    assert " ".join(found[1:-1]) == long
    assert len(found) == 4


def test_times_are_those_of_the_first_and_last_word() -> None:
    first, second = sentences(said("Cut it. Then fry it.", {1: 1.0}), pause_s=0.7, max_words=30)
    assert (first.start_s, first.end_s) == pytest.approx((0.0, 0.6))
    assert (second.start_s, second.end_s) == pytest.approx((1.6, 2.5))


def test_whispers_halves_of_a_number_stay_together() -> None:
    words = [Word(0, 1, " 1."), Word(1, 2, "5"), Word(2, 3, " cups.")]
    assert [s.text for s in sentences(words, 0.7, 30)] == ["1.5 cups."]


def test_nothing_said_is_no_sentence() -> None:
    assert sentences([], 0.7, 30) == []
