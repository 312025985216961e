"""What classifiers of whole sequences have on top of the encoder: dropout and one linear layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

from models.encoder import Encoded

STD = 0.02
"""Of a fresh layer's weights, as in BERT."""


class SentenceHead(nn.Module):
    """BERT's classifier: the pooled state, or the last state of [CLS] where the encoder has no pooler, to ``outputs``
    numbers a sequence (Devlin et al. 2019, section 4.1)."""

    def __init__(self, config: PreTrainedConfig, outputs: int, dropout: float | None = None) -> None:
        super().__init__()
        self.dropout = nn.Dropout(head_dropout(config) if dropout is None else dropout)
        self.linear = fresh_linear(config.hidden_size, outputs)

    def forward(self, encoded: Encoded) -> Tensor:
        """Logits [B, outputs] in float32."""
        pooled_BD = encoded.last_BLD[:, 0] if encoded.pooled_BD is None else encoded.pooled_BD
        with torch.autocast(pooled_BD.device.type, enabled=False):  # a score is more than bf16's three digits
            logits: Tensor = self.linear(self.dropout(pooled_BD.float()))
        return logits


def head_dropout(config: PreTrainedConfig) -> float:
    """The dropout before a head: the configuration's ``classifier_dropout``, or BERT's 0.1."""
    dropout = getattr(config, "classifier_dropout", None)
    return 0.1 if dropout is None else float(dropout)


def fresh_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer with BERT's initialisation."""
    linear = nn.Linear(inputs, outputs)
    nn.init.normal_(linear.weight, std=STD)
    nn.init.zeros_(linear.bias)
    return linear
