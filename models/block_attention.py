"""Attention on a CPU, for sequences that stand in one row: a block of its weights at a time.

A block stays in a core's cache from the product that makes it to the one that uses it; the weights of a whole batch go
through memory at every step between. torch's own kernel of that kind cannot drop weights on a CPU. The way back is that
of FlashAttention (Dao et al. 2022, arXiv 2205.14135, algorithm 4), with weights kept rather than computed again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.dropout import draw_signs, gain

BLOCK = 1 << 19
"""Weights of a block: 2 MiB in float32."""
APART = 1 << 16
"""Weights that shorter sequences may gain by sharing a block with longer ones: as many as are computed in the time
that the calls of another block take."""
STEP = 16
"""Blocks are as long as a multiple of this: the kernels that multiply matrices are made anew for every length."""
SPARE = STEP - 1
"""Words that a row has behind its last sequence: that one too is filled up with what follows."""


@dataclass(frozen=True)
class Block:
    """Some sequences of the row, filled up to one length. N sequences, L positions, H heads of width W."""

    first: int
    """Of its words, in the row."""
    lengths: tuple[int, ...]
    n_heads: int
    """Whose weights are computed at a time."""
    length: int
    """L."""
    place_T: Tensor | None
    """Of each word in N x L; None for a single sequence, which what follows it in the row fills up."""
    bias_N1L: Tensor | None
    """0 at words, minus infinity at the padding; None without any."""

    @property
    def words(self) -> slice:
        return slice(self.first, self.first + sum(self.lengths))

    def take(self, row_HRW: Tensor) -> Tensor:
        """[H, N, L, W] of a row."""
        if self.place_T is None:
            return row_HRW[:, None, self.first : self.first + self.length]
        n, words_HTW = len(self.lengths), row_HRW[:, self.words]
        padded = words_HTW.new_zeros(len(row_HRW), n * self.length, row_HRW.shape[2])
        return padded.index_copy_(1, self.place_T, words_HTW).view(len(row_HRW), n, self.length, -1)

    def put(self, row_HRW: Tensor, padded_HNLW: Tensor) -> None:
        """Write the words' vectors into a row."""
        padded = padded_HNLW.flatten(1, 2)
        row_HRW[:, self.words] = padded[:, : self.lengths[0]] if self.place_T is None else padded[:, self.place_T]

    def heads(self, n: int) -> Iterator[slice]:
        """Of ``n`` heads those whose weights are computed together."""
        return (slice(i, i + self.n_heads) for i in range(0, n, self.n_heads))


def blocks_of(lengths: Sequence[int], heads: int) -> list[Block]:
    """Cut sequences, in the order in which their words stand in the row, into blocks; best in that of their lengths."""
    blocks: list[Block] = []
    start = word = 0
    while start < len(lengths):
        end, filled = start + 1, _filled(lengths[start])
        while end < len(lengths):
            more = max(filled, _filled(lengths[end]))
            if (end + 1 - start) * heads * more**2 > BLOCK or (end - start) * heads * (more**2 - filled**2) > APART:
                break
            end, filled = end + 1, more
        blocks.append(_block(word, tuple(lengths[start:end]), filled, heads))
        word += sum(lengths[start:end])
        start = end
    return blocks


def _filled(length: int) -> int:
    """The length of a block for it; also where a sequence has no word at all."""
    return max(-(-length // STEP), 1) * STEP


def _block(first: int, lengths: tuple[int, ...], length: int, heads: int) -> Block:
    fit = max(BLOCK // (len(lengths) * length**2), 1)
    at_a_time = max(n for n in range(1, heads + 1) if heads % n == 0 and n <= fit)
    filled_NL = torch.arange(length) < torch.tensor(lengths)[:, None]
    place_T = filled_NL.flatten().nonzero().squeeze(1) if len(lengths) > 1 else None
    bias_NL = None if filled_NL.all() else torch.zeros(filled_NL.shape).masked_fill_(~filled_NL, -torch.inf)
    return Block(first, lengths, at_a_time, length, place_T, bias_NL if bias_NL is None else bias_NL[:, None])


def attend_in_blocks(
    query_HRW: Tensor, key_HRW: Tensor, value_HRW: Tensor, blocks: Sequence[Block], scale: float, dropout: float = 0.0
) -> Tensor:
    """What every word of the row sees of its own sequence: [H, R, W], 0 at words of no block.

    The row has ``SPARE`` words or more behind those of the last block. Weights are dropped with probability ``dropout``
    by torch's global generator, and computed in float32.
    """
    if dropout or torch.is_grad_enabled():
        out: Tensor = _Attention.apply(query_HRW, key_HRW, value_HRW, blocks, scale, dropout)  # type: ignore[no-untyped-call]
        return out
    out = torch.zeros_like(query_HRW)
    for block in blocks:
        q, k, v = (block.take(x).transpose(0, 1) for x in (query_HRW, key_HRW, value_HRW))
        bias = None if block.bias_N1L is None else block.bias_N1L[:, None].to(q.dtype)
        block.put(out, F.scaled_dot_product_attention(q, k, v, bias, scale=scale).transpose(0, 1))
    return out


class _Attention(torch.autograd.Function):
    """What is kept of the weights for the way back: their values, with a minus where they were dropped.

    Comparing and masking elements costs a CPU more than multiplying them, so nothing here does.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, blocks: Sequence[Block], scale: float, dropout: float
    ) -> Tensor:
        query, key, value = query.contiguous(), key.contiguous(), value.contiguous()
        out = torch.zeros_like(query)
        kept_for_backward: list[Tensor] = []
        with torch.autocast(query.device.type, enabled=False):
            for block in blocks:
                q, k, v = block.take(query), block.take(key), block.take(value)
                o = torch.empty_like(q)
                for heads in block.heads(len(query)):
                    weights_NLL = _weights(block, q[heads].flatten(0, 1), k[heads].flatten(0, 1), scale)
                    if dropout:
                        weights_NLL *= draw_signs(weights_NLL.shape, dropout)
                    signed_NLL = weights_NLL.to(value.dtype)
                    o[heads] = torch.bmm(_kept(signed_NLL, dropout), v[heads].flatten(0, 1)).view(o[heads].shape)
                    kept_for_backward.append(signed_NLL)
                block.put(out, o)
            out *= _gain(dropout)
        ctx.save_for_backward(query, key, value, out, *kept_for_backward)
        ctx.blocks, ctx.scale, ctx.dropout = blocks, scale, dropout
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        query, key, value, out, *signed = ctx.saved_tensors
        gradient = gradient.contiguous()
        by_query, by_key, by_value = (torch.zeros_like(x) for x in (query, key, value))
        wide = torch.promote_types(query.dtype, torch.float32)
        mean_HR1 = (out.to(wide) * gradient).sum(-1, keepdim=True)
        gradient = gradient * _gain(ctx.dropout)
        kept_of_forward = iter(signed)
        once = 2.0 if ctx.dropout else 1.0
        for block in ctx.blocks:
            q, k, v, g, mean = (block.take(x) for x in (query, key, value, gradient, mean_HR1))
            by_q, by_k, by_v = (torch.empty_like(x) for x in (q, k, v))
            for heads in block.heads(len(query)):
                signed_NLL = next(kept_of_forward)
                kept_NLL = _kept(signed_NLL, ctx.dropout)
                g_NLW = g[heads].flatten(0, 1)
                by_v[heads] = torch.bmm(kept_NLL.mT, g_NLW).view(by_v[heads].shape)
                # Through a softmax: weight x (its gradient - the mean of all gradients under the weights).
                by_scores = torch.bmm(g_NLW, v[heads].flatten(0, 1).mT).to(wide).mul_(kept_NLL.to(wide))
                by_scores.addcmul_(signed_NLL.abs().to(wide), mean[heads].flatten(0, 1), value=-once)
                by_scores = by_scores.to(query.dtype)
                by_q[heads] = torch.bmm(by_scores, k[heads].flatten(0, 1)).view(by_q[heads].shape)
                by_k[heads] = torch.bmm(by_scores.mT, q[heads].flatten(0, 1)).view(by_k[heads].shape)
            block.put(by_query, by_q)
            block.put(by_key, by_k)
            block.put(by_value, by_v)
        return by_query.mul_(ctx.scale), by_key.mul_(ctx.scale), by_value, None, None, None


def _weights(block: Block, query_NLW: Tensor, key_NLW: Tensor, scale: float) -> Tensor:
    """[heads * N, L, L] before any is dropped, in float32 or better."""
    n, length = len(query_NLW), block.length
    nothing = query_NLW.new_empty(1).expand(n, length, length)
    scores_NLL = torch.baddbmm(nothing, query_NLW, key_NLW.mT, beta=0, alpha=scale)
    scores_NLL = scores_NLL.to(torch.promote_types(scores_NLL.dtype, torch.float32))
    if block.bias_N1L is not None:
        scores_NLL.view(-1, len(block.lengths), length, length).add_(block.bias_N1L)
    weights_NLL = F.softmax(scores_NLL, -1)
    if block.place_T is None:
        weights_NLL[:, block.lengths[0] :] = 0.0  # the words of other sequences see nothing here
    return weights_NLL


def _kept(signed_NLL: Tensor, dropout: float) -> Tensor:
    return F.relu(signed_NLL) if dropout else signed_NLL


def _gain(dropout: float) -> float:
    """Of kept weights, which were halved when they got their signs."""
    return 2 * gain(dropout) if dropout else 1.0
