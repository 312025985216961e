from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.masking import mask_words
from models.tasks import MaskedLM
from models.vocabulary import Vocabulary
from tests.models.small_encoders import PIECES, save_roberta, save_tokenizer


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    return Vocabulary.of(save_tokenizer(tmp_path_factory.mktemp("bert")))


def ids_of(*pieces: str) -> np.ndarray:
    return np.array([PIECES.index(piece) for piece in pieces])


def test_wordpieces_go_on_a_word(vocabulary: Vocabulary) -> None:
    assert [p for p, goes_on in zip(PIECES, vocabulary.continues, strict=True) if goes_on] == [
        p for p in PIECES if p.startswith("##")
    ]


def test_the_pieces_of_a_word_are_hidden_together(vocabulary: Vocabulary) -> None:
    ids = ids_of("the", "cut", "##ting", "the", "cut", "##ting", "the", "the")
    hidden = []
    for seed in range(300):
        shown = ids.copy()
        rng = np.random.default_rng(seed)
        positions, targets = mask_words(shown, np.arange(8), 2, rng, vocabulary, whole_words=True)
        assert (targets == ids[positions]).all()
        assert {1, 2} <= set(positions) or not {1, 2} & set(positions)
        assert {4, 5} <= set(positions) or not {4, 5} & set(positions)
        assert 2 <= len(positions) <= 3
        assert (np.delete(shown, positions) == np.delete(ids, positions)).all()
        hidden.append(positions)
    share = np.bincount(np.concatenate(hidden), minlength=8) / 300
    assert share == pytest.approx(share.mean(), abs=0.12), "every word as often as another"


def test_words_of_byte_level_pieces_begin_with_a_blank(tmp_path: Path) -> None:
    tokenizer = save_roberta(tmp_path)
    words = Vocabulary.of(tokenizer)
    ids = np.array(tokenizer(" stir the zzz")["input_ids"])
    begins = [bool(str(words.word(i)).startswith("Ġ")) for i in ids[1:-1]]
    assert begins == [True, True, True, *[False] * (len(begins) - 3)]
    assert len(begins) > 3
    assert not words.continues[[words.cls, words.sep, words.mask]].any()
    candidates = np.arange(1, len(ids) - 1)
    hidden = {
        tuple(mask_words(ids.copy(), candidates, 1, np.random.default_rng(i), words, whole_words=True)[0] - 1)
        for i in range(50)
    }
    assert hidden == {(0,), (1,), tuple(range(2, len(begins)))}


def test_a_sentence_begins_a_word_in_byte_level_pieces_too(tmp_path: Path) -> None:
    tokenizer = save_roberta(tmp_path)
    row = {"id": "a", "sentences": ["the soup", "stir the soup", "cut now"], "split": "train"}
    (example,) = MaskedLM().encode(row, tokenizer)
    continues = Vocabulary.of(tokenizer).continues
    assert not continues[example["text"][[0, *example["ends"][:-1]]]].any()


def test_a_text_begins_a_word_wherever_it_begins(vocabulary: Vocabulary) -> None:
    assert mask_words(ids_of("##ting", "##ting"), np.arange(2), 1, np.random.default_rng(0), vocabulary, True)[0].size
    ids = ids_of("the", "cut", ".", "##ting", "##ting")  # two texts: one position stands between them
    hidden = {
        tuple(mask_words(ids.copy(), np.array([0, 1, 3, 4]), 1, np.random.default_rng(i), vocabulary, True)[0])
        for i in range(50)
    }
    assert hidden == {(0,), (1,), (3, 4)}


def test_one_position_is_always_hidden(vocabulary: Vocabulary) -> None:
    for whole_words in (False, True):
        rng = np.random.default_rng(0)
        positions, _ = mask_words(ids_of("the", "the"), np.array([1]), 0.01, rng, vocabulary, whole_words)
        assert positions.tolist() == [1]
