"""A tag for every word: a linear layer on the word's first wordpiece, with or without a conditional random field."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchcrf import CRF
from transformers import PreTrainedConfig

from models.encoder import Encoded
from models.sentence_head import fresh_linear, head_dropout

UNKNOWN = -100
"""The target of a word whose tag is not to be learned: there is none, or training has never seen it."""


class TagHead(nn.Module):
    """Dropout and a linear layer on first wordpieces (Devlin et al. 2019, section 5.3).

    The field is over the words alone: emissions are gathered from the first wordpieces, so that neither [CLS] and
    [SEP] nor continuations take part in its transitions.

    It reads of a batch's ``labels``: ``first`` int64 [B, W], where words begin; ``tags`` int64 [B, W], their tags'
    numbers; ``words`` bool [B, W], which are no padding.

    Shape suffixes: B sequences, L positions, W words, T tags.
    """

    def __init__(self, config: PreTrainedConfig, tags: int, crf: bool) -> None:
        super().__init__()
        self.dropout = nn.Dropout(head_dropout(config))
        self.linear = fresh_linear(config.hidden_size, tags)
        self.crf = CRF(tags, batch_first=True) if crf else None

    def emissions(self, encoded: Encoded, labels: Mapping[str, Tensor]) -> Tensor:
        """Logits [B, W, T] in float32; those of padding are not to be used."""
        positions_BW = labels["first"]
        index_BWD = positions_BW.unsqueeze(-1).expand(-1, -1, encoded.last_BLD.shape[-1])
        first_BWD = encoded.last_BLD.gather(1, index_BWD).float()
        with torch.autocast(first_BWD.device.type, enabled=False):  # a score is more than bf16's three digits
            logits_BWT: Tensor = self.linear(self.dropout(first_BWD))
        return logits_BWT

    def loss(self, encoded: Encoded, labels: Mapping[str, Tensor]) -> Tensor:
        """The negative log-likelihood, a sum: over words, or with a field over sequences."""
        logits_BWT, target_BW = self.emissions(encoded, labels), labels["tags"]
        if self.crf is None:
            return F.cross_entropy(logits_BWT.flatten(0, 1), target_BW.flatten(), ignore_index=UNKNOWN, reduction="sum")
        score: Tensor = self.crf(logits_BWT, target_BW.clamp(min=0), labels["words"], reduction="sum")
        return -score

    def decode(self, encoded: Encoded, labels: Mapping[str, Tensor]) -> list[list[int]]:
        """The likeliest tags of every sequence's words."""
        logits_BWT = self.emissions(encoded, labels)
        if self.crf is not None:
            best: list[list[int]] = self.crf.decode(logits_BWT, labels["words"])
            return best
        rows, lengths = logits_BWT.argmax(-1).tolist(), labels["words"].sum(1).tolist()
        return [row[:length] for row, length in zip(rows, lengths, strict=True)]
