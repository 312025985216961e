"""How long a sequence an encoder can read."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoModel

import models.word_encoder  # noqa: F401 - AutoConfig and AutoModel know it from then on

TABLE = "position_embeddings"


def positions_of(directory: Path) -> int | None:
    """Tokens of the longest sequence that the encoder of ``directory`` has position embeddings for.

    RoBERTa and its kin number positions from behind the one of padding, so that 514 rows are 512 positions. None for an
    encoder that tells positions otherwise, by distances or rotations, or not at all.
    """
    config = AutoConfig.from_pretrained(str(directory))
    with torch.device("meta"):  # its layers without their weights
        encoder = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    for name, table in encoder.named_modules():
        if name.rpartition(".")[2] == TABLE and isinstance(table, nn.Embedding):
            return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
    return None
