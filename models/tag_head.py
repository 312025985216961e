"""A tag for every word: a linear layer on the word's first wordpiece, with or without a conditional random field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchcrf import CRF
from transformers import PreTrainedConfig

from models.encoder import Encoded
from models.sentence_head import fresh_linear, head_dropout
from models.tasks.task import pad

UNKNOWN = -100
"""The target of a word whose tag is not to be learned: there is none, or training has never seen it."""


class TagHead(nn.Module):
    """Dropout and a linear layer on first wordpieces (Devlin et al. 2019, section 5.3).

    The field is over the words alone: emissions are gathered from the first wordpieces, so that neither [CLS] and
    [SEP] nor continuations take part in its transitions.

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
        logits_BWT: Tensor = self.linear(self.dropout(encoded.last_BLD.gather(1, index_BWD)))
        return logits_BWT.float()

    def loss(self, encoded: Encoded, labels: Mapping[str, Tensor]) -> Tensor:
        """The negative log-likelihood, a sum: over words, or with a field over sequences (see ``terms``)."""
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


def collate_words(examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """What a TagHead needs of examples with ``first`` (where words begin) and ``targets`` (their tags' numbers).

    ``first`` and ``tags`` int64 [B, W], ``words`` bool [B, W]: which are no padding.
    """
    return {
        "first": pad([e["first"] for e in examples], 0),
        "tags": pad([e["targets"] for e in examples], UNKNOWN),
        "words": pad([np.ones(len(e["first"]), np.int64) for e in examples], 0).bool(),
    }


def terms(labels: Mapping[str, Tensor], crf: bool) -> float:
    """How many terms the loss sums: words whose tags are known, or with a field sequences."""
    return float(len(labels["tags"]) if crf else torch.count_nonzero(labels["tags"] != UNKNOWN))
