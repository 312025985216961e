"""Words to wordpieces: which pieces a word becomes, and sequences that are cut between words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BLANK = "Ġ"
"""What byte-level BPE writes for a blank."""
Pieces = list[list[int]]
"""The ids of every word's pieces."""


def pieces_of(words: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> Pieces:
    """Each word's pieces; none for what the tokenizer drops, a lone control character for example."""
    pieces: Pieces = [[] for _ in words]
    if words:
        texts = behind_blanks(words, tokenizer)
        encoded = tokenizer(
            texts, is_split_into_words=True, add_special_tokens=False, split_special_tokens=True, verbose=False
        )
        for word, piece in zip(encoded.word_ids(), encoded["input_ids"], strict=True):
            pieces[word].append(piece)
    return pieces


def behind_blanks(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Words or sentences as the tokenizer is to read them where they begin.

    A byte-level BPE (RoBERTa, ModernBERT) has other pieces for a word behind a blank, which nearly every word of its
    pretraining was: all get one.
    """
    return [f" {text}" if text else text for text in texts] if _knows_blanks(tokenizer) else list(texts)


def _knows_blanks(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether its pieces spell blanks, as those of bytes do."""
    cutter = tokenizer.backend_tokenizer.pre_tokenizer
    return cutter is not None and [piece for piece, _ in cutter.pre_tokenize_str(" a")] == [BLANK + "a"]


def checked_pieces(words: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> Pieces:
    """Each word's pieces, at least one. ValueError names the word that has none."""
    if not words:
        raise ValueError("the text is empty")
    pieces = pieces_of(words, tokenizer)
    for i, (word, ids) in enumerate(zip(words, pieces, strict=True), 1):
        if not ids:
            raise ValueError(f"word {i} ({word!a}) becomes no wordpiece; take it out, or write it otherwise")
    return pieces


class Window(NamedTuple):
    """A sequence for the encoder in which the words ``start`` to ``end`` (exclusive) are to be tagged."""

    input_ids: np.ndarray
    first: np.ndarray
    """Where in ``input_ids`` each of these words begins."""
    start: int
    end: int


def window(words: Pieces, max_tokens: int, tokenizer: PreTrainedTokenizerBase) -> Window:
    """[CLS] words [SEP], with as many words, from the first on, as ``max_tokens`` pieces hold."""
    _, end = cut([len(ids) for ids in words], max_tokens - 2)[0]
    return _lay_out(words, (0, end), (0, end), max_tokens, tokenizer)


def windows(
    words: Pieces, before: Pieces, after: Pieces, max_tokens: int, tokenizer: PreTrainedTokenizerBase
) -> list[Window]:
    """[CLS] context, words, context [SEP] in at most ``max_tokens`` pieces, so often that every word is in one.

    Words that fit are one window. Of more, each window tags as many as fill half of it, and what it holds of the
    others is context. The context grows as evenly on both sides as ``before`` and ``after`` allow, by whole words.
    """
    room = max_tokens - 2
    sizes = [len(ids) for ids in words]
    everything = [*before, *words, *after]
    ends = [0, *accumulate(map(len, everything))]
    made = []
    for start, end in [(0, len(words))] if sum(sizes) <= room else cut(sizes, room // 2):
        mine = len(before) + start, len(before) + end
        made.append(_lay_out(everything, mine, _context(ends, *mine, room), max_tokens, tokenizer))
    return [window._replace(start=window.start - len(before), end=window.end - len(before)) for window in made]


def _lay_out(
    words: Pieces, mine: tuple[int, int], held: tuple[int, int], max_tokens: int, tokenizer: PreTrainedTokenizerBase
) -> Window:
    """The words ``held`` as a sequence, of which ``mine`` are to be tagged; a word that is longer than it is cut."""
    ids = [tokenizer.cls_token_id]
    first = []
    for i in range(*held):
        if mine[0] <= i < mine[1]:
            first.append(len(ids))
        ids += words[i]
    ids = [*ids[: max_tokens - 1], tokenizer.sep_token_id]
    return Window(np.array(ids, np.int32), np.array(first, np.int32), *mine)


def cut(sizes: Sequence[int], room: int) -> list[tuple[int, int]]:
    """Consecutive runs of words of at most ``room`` pieces; a word that is longer is a run of its own."""
    runs = []
    start, held = 0, 0
    for i, size in enumerate(sizes):
        if held and held + size > room:
            runs.append((start, i))
            start, held = i, 0
        held += size
    return [*runs, (start, len(sizes))]


def _context(ends: Sequence[int], low: int, high: int, room: int) -> tuple[int, int]:
    """The stretch of words around ``low`` to ``high`` that fills ``room`` pieces; ends[i] pieces lie before word i."""
    left, right = low, high
    free = room - (ends[high] - ends[low])
    side = free // 2
    while left > 0 and ends[low] - ends[left - 1] <= side:
        left -= 1
    while right < len(ends) - 1 and ends[right + 1] - ends[high] <= free - (ends[low] - ends[left]):
        right += 1
    while left > 0 and ends[low] - ends[left - 1] <= free - (ends[right] - ends[high]):
        left -= 1
    return left, right
