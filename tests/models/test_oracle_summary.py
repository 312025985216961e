from __future__ import annotations

from models.oracle_summary import greedy_oracle

SUMMARY = ["The cat sat on the mat", "A dog barked loudly"]
CAT, DOG, SHORT = "The cat sat on the mat.", "A dog barked.", "The cat sat."


def test_the_sentence_that_raises_rouge_most_comes_first() -> None:
    """The summary has 9 words and 9 pairs. F of words + F of pairs, by hand:

    DOG    2·3/(3+9) + 2·2/(2+9) = 0.864      CAT    2·5/(5+9) + 2·5/(5+9) = 1.429
    CAT and DOG  2·8/(8+9) + 2·7/(7+9) = 1.816
    """
    assert greedy_oracle([DOG, CAT], SUMMARY, most=3) == [1, 0]


def test_what_adds_nothing_ends_it() -> None:
    assert greedy_oracle([SHORT, CAT, SHORT, DOG], SUMMARY, most=4) == [1, 3]


def test_at_most_so_many_and_the_first_of_equals() -> None:
    assert greedy_oracle([SHORT, SHORT, CAT, DOG], SUMMARY, most=1) == [2]
    assert greedy_oracle([DOG, CAT, DOG, CAT], SUMMARY, most=3) == [1, 0]


def test_only_letters_and_digits_count() -> None:
    assert greedy_oracle(["no match here", "HIGH-SPEED: $3.36bn!"], ["highspeed 336bn"], most=3) == [1]


def test_nothing_in_common_is_no_summary() -> None:
    assert greedy_oracle(["quite different", ""], SUMMARY, most=3) == []
    assert greedy_oracle([CAT], [], most=3) == []
