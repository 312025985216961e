"""BERTSUM's three layers between sentence vectors and their scores (Liu 2019, arXiv 1903.10318).

Shape suffixes: B documents, S sentences, D the encoder's width. Each layer takes the vectors [B, S, D] and a mask
[B, S] that is true where there is a sentence, and gives a logit a sentence [B, S]. What stands at padded places changes
nothing.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LAYERS = ("linear", "transformer", "lstm")


def summary_layer(name: str, width: int, dropout: float) -> nn.Module:
    """The layer called ``name``, one of ``LAYERS``."""
    if name == "linear":
        return LinearScores(width)
    if name == "transformer":
        return InterSentenceTransformer(width, dropout)
    if name == "lstm":
        return SentenceLstm(width, dropout)
    raise ValueError(f"no summarization layer '{name}' (there are: {', '.join(LAYERS)})")


class LinearScores(nn.Module):
    """Every sentence by itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1)

    def forward(self, vectors_BSD: Tensor, mask_BS: Tensor) -> Tensor:
        logits: Tensor = self.score(vectors_BSD)
        return logits.squeeze(-1)


class InterSentenceTransformer(nn.Module):
    """A pre-norm Transformer over a document's sentences with sinusoidal positions.

    As in nlpyang/BertSum the attention of the first layer sees the vectors as they are, since BERT has normed them.
    """

    def __init__(self, width: int, dropout: float, layers: int = 2, heads: int = 8, inner: int = 2048) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            InterSentenceLayer(width, heads, inner, dropout, norm_first=i > 0) for i in range(layers)
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.score = nn.Linear(width, 1)

    def forward(self, vectors_BSD: Tensor, mask_BS: Tensor) -> Tensor:
        _, S, D = vectors_BSD.shape
        x_BSD = vectors_BSD + sinusoids(S, D).to(vectors_BSD)
        for layer in self.layers:
            x_BSD = layer(x_BSD, mask_BS)
        logits: Tensor = self.score(self.norm(x_BSD))
        return logits.squeeze(-1)


class InterSentenceLayer(nn.Module):
    """Attention and a feed-forward net, each normed before and added to what it was given."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float, norm_first: bool) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=1e-6) if norm_first else nn.Identity()
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width, eps=1e-6),
            nn.Linear(width, inner),
            nn.GELU("tanh"),
            nn.Dropout(dropout),
            nn.Linear(inner, width),
            nn.Dropout(dropout),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BSD: Tensor, mask_BS: Tensor) -> Tensor:
        normed_BSD = self.attention_norm(x_BSD)
        attended_BSD, _ = self.attention(
            normed_BSD, normed_BSD, normed_BSD, key_padding_mask=~mask_BS, need_weights=False
        )
        x_BSD = x_BSD + self.dropout(attended_BSD)
        out_BSD: Tensor = x_BSD + self.feed_forward(x_BSD)
        return out_BSD


def sinusoids(positions: int, width: int) -> Tensor:
    """Position vectors [positions, width]: sines in the even columns, cosines in the odd (Vaswani et al. 2017, 3.5)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angles = torch.arange(positions)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :width]


class SentenceLstm(nn.Module):
    """A layer-normed LSTM in either direction, half the width each, added to the sentence vectors."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.forwards = LayerNormLstm(width, width // 2)
        self.backwards = LayerNormLstm(width, width - width // 2)
        self.dropout = nn.Dropout(dropout)
        self.score = nn.Linear(width, 1)

    def forward(self, vectors_BSD: Tensor, mask_BS: Tensor) -> Tensor:
        ahead_BSD = self.forwards(vectors_BSD, mask_BS)
        back_BSD = self.backwards(vectors_BSD.flip(1), mask_BS.flip(1)).flip(1)
        states_BSD = torch.cat([ahead_BSD, back_BSD], -1)
        logits: Tensor = self.score(vectors_BSD + self.dropout(states_BSD))
        return logits.squeeze(-1)


class LayerNormLstm(nn.Module):
    """An LSTM whose gates and cell are layer-normed (Ba, Kiros, Hinton 2016), as Liu 2019 writes it."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.of_input = nn.Linear(inputs, 4 * width)
        self.of_state = nn.Linear(width, 4 * width)
        self.input_norm, self.state_norm = nn.LayerNorm(4 * width), nn.LayerNorm(4 * width)
        self.cell_norm = nn.LayerNorm(width)

    def forward(self, x_BSD: Tensor, mask_BS: Tensor) -> Tensor:
        """States [B, S, width]. A padded step leaves state and cell as they were."""
        state_BH = cell_BH = x_BSD.new_zeros(len(x_BSD), self.width)
        inputs_BSG = self.input_norm(self.of_input(x_BSD))
        states = []
        for step in range(x_BSD.shape[1]):
            gates_BG = inputs_BSG[:, step] + self.state_norm(self.of_state(state_BH))
            forget, take, give, new = gates_BG.chunk(4, -1)
            next_BH = cell_BH * F.sigmoid(forget) + F.sigmoid(take) * F.tanh(new)
            here_B1 = mask_BS[:, step, None]
            cell_BH = torch.where(here_B1, next_BH, cell_BH)
            state_BH = torch.where(here_B1, F.sigmoid(give) * F.tanh(self.cell_norm(next_BH)), state_BH)
            states.append(state_BH)
        return torch.stack(states, 1)
