"""The deep biaffine graph parser: a score for every pair of word and head, and for every label of a pair.

Dozat and Manning 2017, Deep Biaffine Attention for Neural Dependency Parsing. Shape suffixes: S sentences, W words,
H = W + 1 heads (the root first), K labels, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

FORBIDDEN = -1e8
"""The score of a head that a word cannot have: itself, or one beyond the end of its sentence."""


class Biaffine(nn.Module):
    """``[x; 1]ᵀ U_k [y; 1]`` for every output k: a bilinear form with linear terms of both sides and a constant.

    It starts at zero, as Dozat and Manning's does: every head is as likely as any other. Scores are in float32 also
    under autocast, for two heads may differ by less than bf16's three digits.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, width + 1, width + 1))

    def forward(self, x_SWD: Tensor, y_SHD: Tensor) -> Tensor:
        """Every x with every y: [S, W, H, K]."""
        with torch.autocast(x_SWD.device.type, enabled=False):
            return torch.einsum("swi,kij,shj->swhk", with_one(x_SWD), self.weight, with_one(y_SHD))

    def pairs(self, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """Every x with the y of the same place: [N, K]."""
        k, i, j = self.weight.shape
        with torch.autocast(x_ND.device.type, enabled=False):
            rows = with_one(x_ND) @ self.weight.transpose(0, 1).reshape(i, k * j)
            return torch.einsum("nkj,nj->nk", rows.view(-1, k, j), with_one(y_ND))


class BiaffineParser(nn.Module):
    """Words of sentences to scores of heads and labels.

    width         of a word's vector
    arc_width     of the vectors that a head is found by
    label_width   of the vectors that a label is found by
    dropout       of input and vectors, the same entries for all words of a sentence
    """

    def __init__(self, width: int, n_labels: int, arc_width: int, label_width: int, dropout: float) -> None:
        super().__init__()
        self.root = nn.Parameter(torch.randn(width) / width**0.5)
        self.arc_word, self.arc_head = (_perceptron(width, arc_width) for _ in range(2))
        self.label_word, self.label_head = (_perceptron(width, label_width) for _ in range(2))
        self.arcs = Biaffine(arc_width, 1)
        self.labels = Biaffine(label_width, n_labels)
        self.dropout = SentenceDropout(dropout)

    def forward(self, words_SWD: Tensor, mask_SW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores of heads [S, W, H] (log-odds), and what ``labels`` wants: words [S, W, d] and heads [S, H, d]."""
        root = self.root.to(words_SWD.dtype).expand(len(words_SWD), 1, -1)
        nodes_SHD = self.dropout(torch.cat([root, words_SWD], 1))
        words_SWD = nodes_SHD[:, 1:]
        arcs_SWH = self.arcs(self.dropout(self.arc_word(words_SWD)), self.dropout(self.arc_head(nodes_SHD))).squeeze(-1)
        arcs_SWH = arcs_SWH.masked_fill(~possible_heads(mask_SW), FORBIDDEN)
        return arcs_SWH, self.dropout(self.label_word(words_SWD)), self.dropout(self.label_head(nodes_SHD))


class SentenceDropout(nn.Module):
    """Dropout of whole columns [S, 1, D] of a sentence (Gal and Ghahramani 2016)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x_SWD: Tensor) -> Tensor:
        if not self.training or not self.p:
            return x_SWD
        return x_SWD * nn.functional.dropout(torch.ones_like(x_SWD[:, :1]), self.p)


def possible_heads(mask_SW: Tensor) -> Tensor:
    """[S, W, H]: which heads a word may have. All of its sentence and the root, but not itself."""
    n_words = mask_SW.shape[1]
    inside_SH = nn.functional.pad(mask_SW, (1, 0), value=True)
    itself_WH = torch.eye(n_words + 1, dtype=torch.bool, device=mask_SW.device)[1:]
    return inside_SH[:, None] & ~itself_WH


def with_one(x: Tensor) -> Tensor:
    """A one behind every vector, in float32."""
    return nn.functional.pad(x.float(), (0, 1), value=1.0)


def _perceptron(width: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, out), nn.ELU())
