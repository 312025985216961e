"""A parser's scores to heads and relations: the likeliest trees, or those of UDify's reference implementation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
import torch

from models.parser_head import ParserHead, Scores
from models.spanning_tree import maximum_spanning_tree

ROOT = "root"
"""The relation of the word that hangs from the root, and of no other."""


@torch.no_grad()
def likeliest_trees(
    head: ParserHead, scores: Scores, sizes: Sequence[int], deprels: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Heads and numbers of relations of a batch's words: of each sentence the tree of the largest product of its
    arcs' probabilities that has one root, then the likeliest relation of each arc.

    sizes     words of every sentence
    deprels   what the numbers mean
    """
    arcs_NH = scores.arcs_NH.cpu().numpy()
    heads = np.concatenate([maximum_spanning_tree(arcs_NH[a:b, : b - a + 1]) for a, b in _spans(sizes)])
    heads_N = torch.from_numpy(heads).to(scores.arcs_NH.device)
    labels_NK = head.label_scores(scores, heads_N)
    is_root_K = torch.tensor([label.partition(":")[0] == ROOT for label in deprels], device=labels_NK.device)
    if is_root_K.any() and not is_root_K.all():
        labels_NK = labels_NK.masked_fill(is_root_K != (heads_N == 0)[:, None], -torch.inf)
    return heads.tolist(), labels_NK.argmax(-1).tolist()


@torch.no_grad()
def reference_trees(head: ParserHead, scores: Scores, sizes: Sequence[int]) -> tuple[list[int], list[int]]:
    """The same as UDify's code decides: the largest sum, not product, of probabilities of arcs with their likeliest
    relations, with any number of roots."""
    heads: list[int] = []
    deprels: list[int] = []
    for sentence, (a, b) in enumerate(_spans(sizes)):
        best_WH, label_WH = head.all_label_scores(scores, slice(a, b), sentence).max(-1)
        probability_WH = (scores.arcs_NH[a:b, : b - a + 1] + best_WH).exp().cpu().numpy()
        found = maximum_spanning_tree(probability_WH, single_root=False)
        heads += found.tolist()
        deprels += label_WH.cpu().numpy()[np.arange(b - a), found].tolist()
    return heads, deprels


def _spans(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Where each sentence's words begin and end among those of the batch."""
    return list(pairwise(accumulate(sizes, initial=0)))
