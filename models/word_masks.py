"""Sentences as words with their places in the text, so that single words can be hidden and replaced.

A word is what BERT's tokenizer cuts into wordpieces: letters and digits between blanks and punctuation. One that is
hidden becomes one [MASK], however many pieces it had, and one whole word comes in its place; all else of the text stays
as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from models.vocabulary import Vocabulary


@dataclass(frozen=True)
class Sentence:
    """A text and its words."""

    text: str
    spans: tuple[tuple[int, int], ...]
    """Where each word begins and ends in the text."""
    pieces: tuple[tuple[int, ...], ...]
    """The ids of each word's wordpieces."""

    @classmethod
    def read(cls, text: str, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> Sentence:
        """The words of ``text`` that fit whole into ``max_tokens`` positions, [CLS] and [SEP] included."""
        encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)
        spans: dict[int, tuple[int, int]] = {}
        pieces: dict[int, list[int]] = {}
        numbers, offsets = encoded.word_ids(), encoded["offset_mapping"]
        room = max_tokens - 2
        for id_, number, (start, end) in zip(encoded["input_ids"], numbers, offsets, strict=True):
            spans[number] = (spans.get(number, (start,))[0], end)
            pieces.setdefault(number, []).append(id_)
        whole = []
        for number, ids in pieces.items():
            room -= len(ids)
            if room < 0:
                break
            whole.append(number)
        return cls(text, tuple(spans[n] for n in whole), tuple(tuple(pieces[n]) for n in whole))

    def word(self, number: int) -> str:
        start, end = self.spans[number]
        return self.text[start:end]

    def replaceable(self) -> list[int]:
        """The words that are no punctuation."""
        return [n for n in range(len(self.spans)) if any(map(str.isalnum, self.word(n)))]

    def ids(self, hidden: Iterable[int], vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
        """Input ids with a [MASK] for each word of ``hidden``, and where those are, in the order of the words."""
        hide, ids, masks = set(hidden), [vocabulary.cls], []
        for number, pieces in enumerate(self.pieces):
            if number in hide:
                masks.append(len(ids))
                ids.append(vocabulary.mask)
            else:
                ids.extend(pieces)
        ids.append(vocabulary.sep)
        return np.array(ids), np.array(masks, np.int64)

    def with_pieces(self, number: int, pieces: tuple[int, ...]) -> Sentence:
        """The same sentence as an encoder reads it with other wordpieces for one of its words."""
        return replace(self, pieces=(*self.pieces[:number], pieces, *self.pieces[number + 1 :]))

    def replaced(self, words: Mapping[int, str]) -> str:
        """The text with other words at the numbers given, with a capital where the old one had one."""
        out, at = "", 0
        for number in sorted(words):
            start, end = self.spans[number]
            new = words[number]
            new = new[:1].upper() + new[1:] if self.text[start].isupper() else new
            out += self.text[at:start] + new
            at = end
        return out + self.text[at:]


def whole_words(vocabulary: Vocabulary) -> np.ndarray:
    """Which of the text encoder's words can stand alone, bool: no piece of a longer word, no sign, no [unused7]."""
    return np.array([vocabulary.word(id_).isalnum() for id_ in range(vocabulary.n_text)])


def drawn_words(logits_nV: Tensor, allowed_V: Tensor, temperature: float, chance_n: Sequence[float]) -> list[int]:
    """A word for each row of logits, from the softmax of ``logits / temperature`` over the words allowed.

    A number of ``chance_n``, from 0 to 1, says which: the first word up to which so much of the probability lies. So a
    word depends on its logits and its own number alone, and not on what else is drawn at the same time.
    """
    ids = allowed_V.nonzero().squeeze(1)
    heaps_nA = (logits_nV[:, ids].double() / temperature).softmax(-1).cumsum(-1)
    chance_n1 = torch.tensor(chance_n, dtype=torch.float64, device=ids.device)[:, None]
    found: list[int] = ids[(heaps_nA < chance_n1 * heaps_nA[:, -1:]).sum(-1)].tolist()
    return found
