"""BERT's masking: which words are hidden, and what stands in their place (Devlin et al. 2019, section 3.1)."""

from __future__ import annotations

import numpy as np

from models.vocabulary import Vocabulary


def mask_words(
    ids: np.ndarray,
    candidates: np.ndarray,
    n: float,
    rng: np.random.Generator,
    vocabulary: Vocabulary,
    whole_words: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Hide some of ``ids`` [L] in place; returns the positions, ascending, and what stood there, both [n].

    Of the positions ``candidates`` ``n`` are taken, rounded, and one at least: 80 % become [MASK], 10 % a random word,
    10 % stay. Visual words are treated alike; a random word is one of the same kind, and none of a dead leaf.

    whole_words    take all wordpieces of a word or none, as in google-research/bert's whole-word masking; the last
                   word taken may then bring some positions more than asked for
    """
    size = max(1, round(n))
    if whole_words:
        begins = ~vocabulary.continues[ids[candidates]]
        # Also where a text begins: without the blank that some tokenizers mark words by, or within a word.
        begins |= np.diff(candidates, prepend=-2) > 1
        words = np.cumsum(begins) - 1
        order = rng.permutation(words.max() + 1)
        sizes = np.bincount(words)[order]
        taken = order[np.cumsum(sizes) - sizes < size]
        positions = candidates[np.isin(words, taken)]
    else:
        positions = np.sort(rng.permutation(candidates)[:size])
    targets = ids[positions]
    fate = rng.random(len(positions))
    visual = targets >= vocabulary.first_visual
    live = vocabulary.live_visual
    random = rng.integers(np.where(visual, len(live), vocabulary.n_text))
    random[visual] = live[random[visual]]
    ids[positions] = np.where(fate < 0.8, vocabulary.mask, np.where(fate < 0.9, random, targets))
    return positions, targets
