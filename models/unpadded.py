"""An encoder of BERT's kind on words alone: what pads a batch costs nothing outside of attention.

The words of all sequences stand in one row, each with its position in its own sequence. Linear layers, norms,
activations and dropouts see that row, and attention some sequences of it at a time. The numbers are those of the padded
batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from models.block_attention import SPARE, Block, attend_in_blocks, blocks_of

NAME = "unpadded"
KINDS = ("bert", "electra")
"""Model types whose positions are given as they are, from 0, and whose attention goes through the interface."""
STEP = 64
"""Rows are as long as a multiple of this: the kernels that multiply matrices are made anew for every length."""


@dataclass(frozen=True)
class Layout:
    """Where the words of a padded batch lie: in a row, the shortest sequence first. T words, R their row filled up, B
    sequences, L positions."""

    shape: tuple[int, int]
    """B, L."""
    place_T: Tensor
    """Of each word in the flattened batch."""
    blocks: list[Block]
    """The sequences as attention takes them."""

    @classmethod
    def of(cls, attention_mask_BL: Tensor, heads: int) -> Layout:
        mask = attention_mask_BL.bool()
        n_sequences, length = mask.shape
        lengths, order = mask.sum(1).sort(stable=True)
        sequence, position = mask[order].nonzero(as_tuple=True)
        return cls((n_sequences, length), order[sequence] * length + position, blocks_of(lengths.tolist(), heads))

    @property
    def row(self) -> int:
        """R."""
        return -(-(len(self.place_T) + SPARE) // STEP) * STEP

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
        padded_ND = row_RD.new_zeros(self.shape[0] * self.shape[1], row_RD.shape[1])
        return padded_ND.index_copy(0, self.place_T, row_RD[: len(self.place_T)]).view(*self.shape, -1)


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
    out = attend_in_blocks(query[0], key[0], value[0], layout.blocks, scaling or query.shape[-1] ** -0.5, dropout)
    return out.transpose(0, 1)[None], None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)


def allow(model: PreTrainedModel) -> None:
    """Let a model take a ``layout`` beside its words, if it is of a kind that can."""
    if model.config.model_type in KINDS:
        model.set_attn_implementation(NAME)


def allowed(model: PreTrainedModel) -> bool:
    """Whether a model takes a ``layout`` now. With another implementation of attention it would not look at it, and its
    sequences would see each other."""
    return bool(model.config._attn_implementation == NAME)
