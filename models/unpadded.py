"""An encoder of BERT's kind on words alone: what pads a batch costs nothing outside of attention.

The words of all sequences stand in one row, each with its position in its own sequence. Linear layers, norms,
activations and dropouts see that row; attention spreads queries, keys and values over padded sequences and gathers
what comes out. The numbers are those of the padded batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from models.dropout import dropout as drop

Move = Callable[[Tensor, Tensor, int], Tensor]

NAME = "unpadded"
KINDS = ("bert", "electra")
"""Model types whose positions are given as they are, from 0, and whose attention goes through the interface."""
MUCH_PADDING = 0.1
"""Share of a batch from which on it is worth the trouble."""
STEP = 64
"""Rows are as long as a multiple of this: the kernels that multiply matrices are made anew for every length."""


@dataclass(frozen=True)
class Layout:
    """Where the words of a padded batch lie. T words, R their row filled up, B sequences, L positions."""

    shape: tuple[int, int]
    """B, L."""
    place_T: Tensor
    """Of each word in the flattened batch."""
    mask_B11L: Tensor
    """True at words."""

    @classmethod
    def of(cls, attention_mask_BL: Tensor) -> Layout:
        mask = attention_mask_BL.bool()
        n_sequences, length = mask.shape
        return cls((n_sequences, length), mask.flatten().nonzero().squeeze(1), mask[:, None, None, :])

    @property
    def row(self) -> int:
        """R."""
        return -(-len(self.place_T) // STEP) * STEP

    def words(self, tensor_BL: Tensor) -> Tensor:
        """[B, L] to the words in a row: [1, R], 0 after the last."""
        return self._filled(tensor_BL.flatten()[self.place_T])

    def positions(self) -> Tensor:
        """Of the words, in their own sequences: [1, R]."""
        return self._filled(self.place_T % self.shape[1])

    def _filled(self, words_T: Tensor) -> Tensor:
        return F.pad(words_T, (0, self.row - len(words_T)))[None]

    def spread(self, row_RD: Tensor) -> Tensor:
        """A vector a word to [B, L, D], 0 at the padding."""
        size = self.shape[0] * self.shape[1]
        spread: Tensor = _Move.apply(row_RD, self.place_T, size, _spread, _gather)  # type: ignore[no-untyped-call]
        return spread.view(*self.shape, -1)

    def gather(self, padded_BLD: Tensor) -> Tensor:
        """The inverse: [R, D]."""
        rows_ND = padded_BLD.flatten(0, 1)
        gathered: Tensor = _Move.apply(rows_ND, self.place_T, self.row, _gather, _spread)  # type: ignore[no-untyped-call]
        return gathered


def _spread(row_RD: Tensor, place_T: Tensor, size: int) -> Tensor:
    return row_RD.new_zeros(size, row_RD.shape[1]).index_copy_(0, place_T, row_RD[: len(place_T)])


def _gather(rows_ND: Tensor, place_T: Tensor, size: int) -> Tensor:
    row_RD = rows_ND.new_empty(size, rows_ND.shape[1])
    torch.index_select(rows_ND, 0, place_T, out=row_RD[: len(place_T)])
    row_RD[len(place_T) :] = 0.0
    return row_RD


class _Move(torch.autograd.Function):
    """One of the two above, whose gradient the other brings back: no place is taken twice."""

    @staticmethod
    def forward(ctx: Any, rows_ND: Tensor, place_T: Tensor, size: int, there: Move, back: Move) -> Tensor:
        ctx.save_for_backward(place_T)
        ctx.size, ctx.back = len(rows_ND), back
        return there(rows_ND, place_T, size)

    @staticmethod
    def backward(ctx: Any, gradient_ND: Tensor) -> tuple[Tensor, None, None, None, None]:  # type: ignore[override]
        (place_T,) = ctx.saved_tensors
        return ctx.back(gradient_ND, place_T, ctx.size), None, None, None, None


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    layout: Layout | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it: [1, heads, R, width] with a layout, else its own."""
    if layout is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **others)
    heads = query.shape[1]

    def spread(row: Tensor) -> Tensor:
        """[1, heads, R, width] to [B, heads, L, width]."""
        padded = layout.spread(row.transpose(1, 2).flatten(2)[0])
        return padded.view(*layout.shape, heads, -1).transpose(1, 2)

    query, key, value = spread(query), spread(key), spread(value)
    if not dropout:
        out = F.scaled_dot_product_attention(query, key, value, layout.mask_B11L, scale=scaling)
    else:
        scores = query @ key.transpose(2, 3) * (scaling or query.shape[-1] ** -0.5)
        weights = scores.masked_fill(~layout.mask_B11L, torch.finfo(scores.dtype).min).softmax(-1)
        out = drop(weights, dropout).to(value.dtype) @ value
    gathered = layout.gather(out.transpose(1, 2).flatten(2))
    return gathered.view(1, len(gathered), heads, -1), None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)


def pays(attention_mask_BL: Tensor) -> bool:
    """Whether a batch has enough padding."""
    return int(attention_mask_BL.sum()) <= (1 - MUCH_PADDING) * attention_mask_BL.numel()


def allow(model: PreTrainedModel) -> bool:
    """Let a model take a ``layout`` beside its words, if it is of a kind that can; whether it is."""
    if model.config.model_type not in KINDS:
        return False
    model.set_attn_implementation(NAME)
    return True
