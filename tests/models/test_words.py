from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer, BertTokenizer

from models.words import Pieces, Window, checked_pieces, cut, pieces_of, window, windows
from tests.models.small_encoders import save_roberta, save_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> BertTokenizer:
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def show(made: Window, tokenizer: BertTokenizer) -> tuple[str, str, tuple[int, int]]:
    """The sequence, the pieces at the words' beginnings, and the words."""
    tokens = tokenizer.convert_ids_to_tokens(made.input_ids.tolist())
    return " ".join(tokens), " ".join(tokens[i] for i in made.first), (made.start, made.end)


def test_pieces_are_those_of_each_word(tokenizer: BertTokenizer) -> None:
    words = ["Stir", "cutting", "", "\u200b", "[SEP]", "now"]
    tokens = [tokenizer.convert_ids_to_tokens(ids) for ids in pieces_of(words, tokenizer)]
    assert tokens == [["stir"], ["cut", "##ting"], [], [], ["[", "s", "##e", "##p", "]"], ["now"]]
    assert pieces_of([], tokenizer) == []


def test_byte_level_pieces_are_those_of_words_behind_a_blank(tmp_path: Path) -> None:
    """As within a text, also the first one; whichever way the tokenizer was loaded."""
    plain = save_roberta(tmp_path)
    prefixed = AutoTokenizer.from_pretrained(str(tmp_path), add_prefix_space=True)
    text = plain(" stir the <s> soup", add_special_tokens=False, split_special_tokens=True)["input_ids"]
    for tokenizer in (plain, prefixed):
        pieces = pieces_of(["stir", "the", "", "<s>", "soup"], tokenizer)
        tokens = [tokenizer.convert_ids_to_tokens(ids) for ids in pieces]
        assert [*tokens[:3], tokens[4]] == [["Ġstir"], ["Ġthe"], [], ["Ġsoup"]]
        assert [id_ for word in pieces for id_ in word] == text


def test_a_word_without_pieces_is_named(tokenizer: BertTokenizer) -> None:
    with pytest.raises(ValueError, match=r"word 2 \('\\u200b'\) becomes no wordpiece"):
        checked_pieces(["stir", "\u200b"], tokenizer)
    with pytest.raises(ValueError, match="the text is empty"):
        checked_pieces([], tokenizer)


def test_words_that_fit_begin_at_their_first_pieces(tokenizer: BertTokenizer) -> None:
    pieces = pieces_of(["cutting", "the", "soup"], tokenizer)
    whole = ("[CLS] cut ##ting the soup [SEP]", "cut the soup", (0, 3))
    assert show(window(pieces, 6, tokenizer), tokenizer) == whole
    assert [show(w, tokenizer) for w in windows(pieces, [], [], 6, tokenizer)] == [whole]
    assert show(window(pieces, 5, tokenizer), tokenizer) == ("[CLS] cut ##ting the [SEP]", "cut the", (0, 2))
    assert show(window(pieces, 3, tokenizer), tokenizer) == ("[CLS] cut [SEP]", "cut", (0, 1))


def letters(text: str, tokenizer: BertTokenizer) -> Pieces:
    return pieces_of(text.split(), tokenizer)


@pytest.mark.parametrize(
    ("before", "after", "max_tokens", "shown"),
    [
        ("a b c d", "e f g h", 7, "[CLS] c d now e f [SEP]"),
        ("a b c d", "e f g h", 8, "[CLS] c d now e f g [SEP]"),
        ("a", "e f g h", 7, "[CLS] a now e f g [SEP]"),  # what one side lacks the other has
        ("a b c d", "", 7, "[CLS] a b c d now [SEP]"),
        ("cutting b", "cutting h", 7, "[CLS] b now cut ##ting h [SEP]"),  # by whole words
        ("a", "e", 9, "[CLS] a now e [SEP]"),
        ("a", "e", 3, "[CLS] now [SEP]"),
    ],
)
def test_context_grows_evenly_by_whole_words(
    before: str, after: str, max_tokens: int, shown: str, tokenizer: BertTokenizer
) -> None:
    around = letters(before, tokenizer), letters(after, tokenizer)
    (made,) = windows(letters("now", tokenizer), *around, max_tokens, tokenizer)
    assert show(made, tokenizer) == (shown, "now", (0, 1))


def test_of_a_long_sentence_every_word_is_tagged_once_with_the_rest_as_context(tokenizer: BertTokenizer) -> None:
    made = windows(letters("a b c d e f g", tokenizer), letters("x", tokenizer), [], 8, tokenizer)
    assert [show(w, tokenizer) for w in made] == [
        ("[CLS] x a b c d e [SEP]", "a b c", (0, 3)),
        ("[CLS] b c d e f g [SEP]", "d e f", (3, 6)),
        ("[CLS] b c d e f g [SEP]", "g", (6, 7)),
    ]


def test_a_word_longer_than_the_window_is_cut(tokenizer: BertTokenizer) -> None:
    made = windows(letters("a zzzzzz b", tokenizer), [], [], 6, tokenizer)
    assert [(w.start, w.end) for w in made] == [(0, 1), (1, 2), (2, 3)]
    assert all(len(w.input_ids) <= 6 and len(w.first) == 1 for w in made)
    assert show(made[1], tokenizer)[0] == "[CLS] z ##z ##z ##z [SEP]"


def test_runs_hold_at_most_their_room() -> None:
    assert cut([2, 2, 1, 5, 1], 4) == [(0, 2), (2, 3), (3, 4), (4, 5)]
    assert cut([3], 1) == [(0, 1)]
