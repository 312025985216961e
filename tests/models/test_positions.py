from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModel, DebertaV2Config, DebertaV2Model

from models.positions import positions_of
from models.word_encoder import WordEncoder, WordEncoderConfig
from tests.models.small_encoders import save_encoder, save_roberta


@pytest.mark.parametrize("kind", ["bert", "distilbert", "electra"])
def test_a_bert_reads_as_many_tokens_as_it_has_rows(kind: str, tmp_path: Path) -> None:
    save_encoder(tmp_path, kind)
    assert positions_of(tmp_path) == 512


def test_a_roberta_reads_two_fewer(tmp_path: Path) -> None:
    save_roberta(tmp_path, positions=30)
    assert positions_of(tmp_path) == 30
    encoder = AutoModel.from_pretrained(str(tmp_path))
    assert encoder.config.max_position_embeddings == 32
    encoder(torch.full((1, 30), 9))
    with pytest.raises((IndexError, RuntimeError)):
        encoder(torch.full((1, 31), 9))


def test_an_encoder_without_a_table_of_positions_reads_any_number(tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = DebertaV2Config(vocab_size=99, relative_attention=True, position_biased_input=False, **sizes)
    DebertaV2Model(config).save_pretrained(tmp_path / "distances")
    WordEncoder(WordEncoderConfig(vocab_size=99)).save_pretrained(tmp_path / "words")
    assert positions_of(tmp_path / "distances") is positions_of(tmp_path / "words") is None
