from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerBase

from models.vocabulary import Vocabulary
from models.word_masks import Sentence, drawn_words, whole_words
from tests.models.small_encoders import save_tokenizer

TEXT = "Stir the cafés, now!"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def vocabulary(tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
    return Vocabulary.of(tokenizer)


def test_words_have_their_places_and_pieces(tokenizer: PreTrainedTokenizerBase) -> None:
    sentence = Sentence.read(TEXT, tokenizer, 64)
    assert [sentence.word(n) for n in range(6)] == ["Stir", "the", "cafés", ",", "now", "!"]
    assert tokenizer.convert_ids_to_tokens(sentence.pieces[2]) == ["cafe", "##s"]
    assert sentence.replaceable() == [0, 1, 2, 4]


def test_a_hidden_word_is_one_mask(tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary) -> None:
    sentence = Sentence.read(TEXT, tokenizer, 64)
    ids, masks = sentence.ids([2, 0], vocabulary)
    words = tokenizer.convert_ids_to_tokens(ids)
    assert words == ["[CLS]", "[MASK]", "the", "[MASK]", ",", "now", "[UNK]", "[SEP]"]
    assert masks.tolist() == [1, 3]
    other = sentence.with_pieces(2, (vocabulary.pad,)).ids((), vocabulary)[0]
    assert tokenizer.convert_ids_to_tokens(other)[1:4] == ["stir", "the", "[PAD]"]


def test_only_the_words_named_change(tokenizer: PreTrainedTokenizerBase) -> None:
    sentence = Sentence.read(TEXT, tokenizer, 64)
    assert sentence.replaced({0: "cut", 2: "soup"}) == "Cut the soup, now!"
    assert sentence.replaced({}) == TEXT


def test_words_beyond_the_end_stay_as_they_are(tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary) -> None:
    """Two positions are [CLS] and [SEP]; of "cafés" only one of two pieces would fit."""
    sentence = Sentence.read(TEXT, tokenizer, 5)
    assert len(sentence.pieces) == 2
    assert len(sentence.ids((), vocabulary)[0]) == 4
    assert sentence.replaced({1: "a"}) == "Stir a cafés, now!"


def test_whole_words_are_no_pieces_and_no_signs(tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary) -> None:
    whole = whole_words(vocabulary)
    allowed = {word: bool(whole[tokenizer.convert_tokens_to_ids(word)]) for word in ("soup", "7", "##s", "[MASK]", ",")}
    assert allowed == {"soup": True, "7": True, "##s": False, "[MASK]": False, ",": False}


def test_a_number_says_which_word_is_drawn() -> None:
    """Allowed are words 1, 2 and 3 with probabilities 1/8, 4/8, 3/8, in heaps that end at 0.125, 0.625 and 1."""
    logits = torch.log(torch.tensor([8.0, 1.0, 4.0, 3.0])).repeat(5, 1)
    allowed = torch.tensor([False, True, True, True])
    assert drawn_words(logits, allowed, 1.0, [0.0, 0.12, 0.13, 0.62, 0.63]) == [1, 1, 2, 2, 3]
    # At temperature ½ the weights are squared: 1, 16, 9 of 26.
    assert drawn_words(logits, allowed, 0.5, [0.03, 0.04, 0.65, 0.66, 1.0]) == [1, 2, 2, 3, 3]


def test_draws_follow_the_probabilities() -> None:
    logits = torch.log(torch.tensor([8.0, 1.0, 4.0, 3.0])).repeat(4000, 1)
    allowed = torch.tensor([False, True, True, True])
    drawn = drawn_words(logits, allowed, 1.0, np.random.default_rng(0).random(4000).tolist())
    assert np.bincount(drawn, minlength=4) / 4000 == pytest.approx([0, 1 / 8, 4 / 8, 3 / 8], abs=0.02)
