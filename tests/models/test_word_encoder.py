from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from models.word_encoder import WordEncoder, WordEncoderConfig


@pytest.fixture(params=["cnn", "rnn"])
def encoder(request: pytest.FixtureRequest) -> WordEncoder:
    torch.manual_seed(0)
    config = WordEncoderConfig(kind=request.param, vocab_size=20, embedding_size=8, hidden_size=10)
    return WordEncoder(config).eval()


IDS = torch.tensor([[2, 5, 6, 7, 3], [2, 9, 3, 0, 0]])
MASK = torch.tensor([[1] * 5, [1, 1, 1, 0, 0]])


def test_padding_changes_nothing(encoder: WordEncoder) -> None:
    together = encoder(IDS, MASK)
    alone = encoder(IDS[1:, :3], MASK[1:, :3])
    assert together.pooler_output.shape == (2, 10)
    torch.testing.assert_close(together.pooler_output[1:], alone.pooler_output)
    torch.testing.assert_close(together.last_hidden_state[1:, :3], alone.last_hidden_state)


def test_the_order_of_words_matters(encoder: WordEncoder) -> None:
    swapped = IDS[:1, [0, 2, 1, 3, 4]]
    assert not torch.equal(encoder(swapped, MASK[:1]).pooler_output, encoder(IDS[:1], MASK[:1]).pooler_output)


def test_it_is_saved_and_loaded_as_any_encoder(encoder: WordEncoder, tmp_path: Path) -> None:
    encoder.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    assert type(again) is WordEncoder
    torch.testing.assert_close(again(IDS, MASK).pooler_output, encoder(IDS, MASK).pooler_output)


def test_filters_are_of_three_four_and_five_words() -> None:
    found = WordEncoder(WordEncoderConfig(vocab_size=20))
    assert [f.weight.shape for f in found.filters] == [(100, 300, width) for width in (3, 4, 5)]
