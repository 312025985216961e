"""Answers as spans of positions: the layer that gives each position a start and an end logit, and the best spans."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.encoder import Encoded
from models.sentence_head import fresh_linear


class Spans(NamedTuple):
    """The best spans of B sequences, n each, best first; a score of -inf where there are no more."""

    scores_Bn: Tensor
    starts_Bn: Tensor
    ends_Bn: Tensor
    """The last position, inclusive."""


class SpanHead(nn.Module):
    """BERT's question answerer: one linear layer, no dropout (Devlin et al. 2019, section 4.2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = fresh_linear(width, 2)

    def forward(self, encoded: Encoded, attention_mask_BL: Tensor) -> tuple[Tensor, Tensor]:
        """Start and end logits [B, L] in float32; -inf at padding."""
        with torch.autocast(encoded.last_BLD.device.type, enabled=False):
            logits_BL2 = self.linear(encoded.last_BLD.float())
        logits_BL2 = logits_BL2.masked_fill(attention_mask_BL.unsqueeze(-1) == 0, -torch.inf)
        return logits_BL2[..., 0], logits_BL2[..., 1]


def best_spans(start_BL: Tensor, end_BL: Tensor, limit_BL: Tensor, max_length: int, n: int) -> Spans:
    """The ``n`` spans of at most ``max_length`` positions with the highest start + end logit, of all that are allowed.

    limit_BL  for each position the first one that a span from it must not reach; 0 where no span may start
    """
    length = start_BL.shape[1]
    width = min(max_length, length)
    ends_BLW = F.pad(end_BL, (0, width - 1), value=-torch.inf).unfold(1, width, 1)
    position_L1 = torch.arange(length, device=start_BL.device)[:, None]
    offset_W = torch.arange(width, device=start_BL.device)
    allowed_BLW = position_L1 + offset_W < limit_BL.unsqueeze(-1)
    scores_BLW = (start_BL.unsqueeze(-1) + ends_BLW).masked_fill(~allowed_BLW, -torch.inf)
    top = scores_BLW.flatten(1).topk(min(n, length * width))
    starts = top.indices // width
    return Spans(top.values, starts, starts + top.indices % width)


def spans_of_best_ends(start_BL: Tensor, end_BL: Tensor, inside_BL: Tensor, max_length: int, n: int) -> Spans:
    """The best spans between the ``n`` highest starts and the ``n`` highest ends, of all positions but the first.

    google-research's way: starts and ends outside the passage take places of the n, and a span may begin in one part of
    a passage and end in another. There may be none.

    inside_BL  whether a span may start or end at a position
    """
    n = min(n, start_BL.shape[1] - 1)
    starts, ends = start_BL[:, 1:].topk(n), end_BL[:, 1:].topk(n)
    start_Bn1, end_B1n = (starts.indices + 1).unsqueeze(2), (ends.indices + 1).unsqueeze(1)
    allowed = (end_B1n >= start_Bn1) & (end_B1n - start_Bn1 < max_length)
    allowed &= inside_BL.gather(1, start_Bn1[..., 0]).unsqueeze(2) & inside_BL.gather(1, end_B1n[:, 0]).unsqueeze(1)
    scores = (starts.values.unsqueeze(2) + ends.values.unsqueeze(1)).masked_fill(~allowed, -torch.inf)
    top = scores.flatten(1).topk(n)
    return Spans(top.values, start_Bn1[..., 0].gather(1, top.indices // n), end_B1n[:, 0].gather(1, top.indices % n))
