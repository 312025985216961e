import pytest

from stages.video.speech.words import Word, likely_seconds, split_words, spread


def test_words_keep_a_space_before_them_where_one_was() -> None:
    assert split_words("Cut\nthe  onion.") == [" Cut", " the", " onion."]
    assert split_words("今天做汤。先切洋葱。") == [" 今天做汤。", "先切洋葱。"]
    assert split_words(" ") == []


def test_time_is_spread_by_characters() -> None:
    assert spread([" ab", " abcd"], 10.0, 10.6) == [
        Word(10.0, pytest.approx(10.2), " ab"),
        Word(pytest.approx(10.2), pytest.approx(10.6), " abcd"),
    ]


def test_saying_takes_a_likely_time() -> None:
    assert 0.4 < likely_seconds([" stir"]) < 0.8
    assert 2 < likely_seconds(split_words("now we cut the onion")) < 4
    assert 1 < likely_seconds(["今天做汤。"]) < 2
