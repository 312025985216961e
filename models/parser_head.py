"""UDify's head: tags, features, lemma rules and a dependency tree from one encoder, each from its own mix of layers.

Shape suffixes: L layers, N words of the batch one after another, S sentences, W words of the longest, H = W + 1 heads
(the root first), D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.biaffine import BiaffineParser
from models.encoder import Encoded
from models.layer_attention import LayerAttention
from models.sentence_head import fresh_linear

TAGS = ("upos", "feats", "lemmas")
READERS = (*TAGS, "dependencies")
"""What is read from the encoder, each with its own attention over layers."""


@dataclass(frozen=True)
class Sizes:
    """What the head is made of."""

    width: int
    n_layers: int
    n_upos: int
    n_feats: int
    n_lemmas: int
    n_deprels: int
    arc_width: int
    label_width: int
    dropout: float
    layer_dropout: float
    always_drops: bool


@dataclass
class Scores:
    """What the head says about a batch."""

    tags: dict[str, Tensor]
    """Log-probabilities of every tag [N, tags], by the names in TAGS."""
    arcs_NH: Tensor
    """Log-probabilities of every head of every word."""
    label_words_ND: Tensor
    label_heads_SHD: Tensor
    sentence_N: Tensor
    """The sentence of each word."""


class ParserHead(nn.Module):
    """First wordpieces of all layers in, scores out (Kondratyuk and Straka 2019, section 3)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.attention = nn.ModuleDict(
            {name: LayerAttention(sizes.n_layers, sizes.layer_dropout, sizes.always_drops) for name in READERS}
        )
        self.dropout = nn.Dropout(sizes.dropout)
        self.tags = nn.ModuleDict(
            {
                "upos": fresh_linear(sizes.width, sizes.n_upos),
                "feats": many_classes(sizes.width, sizes.n_feats),
                "lemmas": many_classes(sizes.width, sizes.n_lemmas),
            }
        )
        self.parser = BiaffineParser(sizes.width, sizes.n_deprels, sizes.arc_width, sizes.label_width, sizes.dropout)

    def forward(self, encoded: Encoded, first_SW: Tensor, mask_SW: Tensor) -> Scores:
        """Scores of the words whose first pieces lie at ``first_SW`` of the flattened sequences [B · L].

        encoded     with ``layers``: what the embeddings give, which no task reads, and every layer
        mask_SW     which of ``first_SW`` are words, not padding
        """
        first_N = first_SW[mask_SW]
        layers_LND = torch.stack([layer.flatten(0, 1)[first_N] for layer in encoded.layers[1:]])
        mixes = {name: self.dropout(self.attention[name](layers_LND)) for name in READERS}
        tags = {name: log_probabilities(self.tags[name], mixes[name]) for name in TAGS}
        words_SWD = mixes["dependencies"].new_zeros(*mask_SW.shape, layers_LND.shape[-1])
        words_SWD[mask_SW] = mixes["dependencies"]
        arcs_SWH, label_words_SWD, label_heads_SHD = self.parser(words_SWD, mask_SW)
        return Scores(
            tags=tags,
            arcs_NH=arcs_SWH[mask_SW].log_softmax(-1),
            label_words_ND=label_words_SWD[mask_SW],
            label_heads_SHD=label_heads_SHD,
            sentence_N=mask_SW.nonzero()[:, 0],
        )

    def label_scores(self, scores: Scores, heads_N: Tensor) -> Tensor:
        """Log-probabilities [N, labels] of the labels of each word's arc to its head."""
        heads_ND = scores.label_heads_SHD[scores.sentence_N, heads_N]
        logits: Tensor = self.parser.labels.pairs(scores.label_words_ND, heads_ND)
        return logits.log_softmax(-1)

    def all_label_scores(self, scores: Scores, words: slice, sentence: int) -> Tensor:
        """Log-probabilities [words, H, labels] of the labels of every arc of a sentence."""
        n = words.stop - words.start
        words_1WD = scores.label_words_ND[None, words]
        logits: Tensor = self.parser.labels(words_1WD, scores.label_heads_SHD[sentence : sentence + 1, : n + 1])
        return logits[0].log_softmax(-1)

    def layer_shares(self) -> dict[str, list[float]]:
        """What is read -> the share of every layer, from the first."""
        return {name: cast(LayerAttention, self.attention[name]).shares() for name in READERS}


def many_classes(width: int, classes: int) -> nn.Module:
    """An adaptive softmax (Grave et al. 2017) over classes in order of frequency; a plain layer over a few.

    The two cutoffs are the reference implementation's.
    """
    step = round(classes / 15)
    if not 0 < step < 3 * step < classes:
        return fresh_linear(width, classes)
    return nn.AdaptiveLogSoftmaxWithLoss(width, classes, cutoffs=[step, 3 * step], div_value=4.0)


def log_probabilities(layer: nn.Module, x_ND: Tensor) -> Tensor:
    """[N, classes] in float32 also under autocast, of either kind of ``many_classes``."""
    with torch.autocast(x_ND.device.type, enabled=False):
        if isinstance(layer, nn.AdaptiveLogSoftmaxWithLoss):
            log_p: Tensor = layer.log_prob(x_ND.float())
            return log_p
        logits: Tensor = layer(x_ND.float())
        return logits.log_softmax(-1)


def smoothed_nll(log_p_NC: Tensor, target_N: Tensor, smoothing: float) -> Tensor:
    """Negative log-likelihood [N] of targets that hold 1 - smoothing and share the rest with all classes; 0 for a
    target below 0."""
    known = target_N >= 0
    right = F.nll_loss(log_p_NC, target_N.clamp(min=0), reduction="none")
    loss = (1 - smoothing) * right - smoothing * log_p_NC.mean(-1)
    return loss.masked_fill(~known, 0.0)
