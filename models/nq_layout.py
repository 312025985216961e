"""How a page of Natural Questions is laid out for an encoder: its candidates one after another, each behind markers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from models.answer_windows import Window
from models.words import pieces_of

QUESTION, NO_LONG_ANSWER = "[Q]", "[NoLongAnswer]"
KINDS = ("Paragraph", "Table", "List", "Other")
MAX_POSITION = 50
"""Candidates of a kind that are counted; those after them have the last one's number."""
MARKERS = (
    QUESTION,
    NO_LONG_ANSWER,
    *(f"[ContextId={i}]" for i in range(-1, MAX_POSITION + 1)),
    *(f"[{kind}={i}]" for i in range(1, MAX_POSITION + 1) for kind in KINDS),
)
NOWHERE = -1
"""The word, or the candidate, of a marker."""


@lru_cache(maxsize=4)
def marker_ids(tokenizer: PreTrainedTokenizerBase) -> Mapping[str, int]:
    """The ids of ``MARKERS``: their own where the vocabulary has them, as the reference's has; else those of BERT's
    spare words, [unused0] and so on; else that of the unknown word."""
    vocabulary = tokenizer.get_vocab()
    spare = (vocabulary[name] for i in range(1000) if (name := f"[unused{i}]") in vocabulary)
    return {m: vocabulary[m] if m in vocabulary else next(spare, tokenizer.unk_token_id) for m in MARKERS}


@dataclass(frozen=True)
class PageText:
    """The wordpieces of a page, P of them, and where they come from."""

    ids_P: np.ndarray
    candidate_P: np.ndarray
    """Position among the row's candidates, or NOWHERE."""
    word_P: np.ndarray
    """Position in ``words``, or NOWHERE."""
    words: Sequence[str]
    tokens: np.ndarray
    """Which token of the page each word is."""

    @classmethod
    def lay_out(
        cls, candidates: Sequence[Mapping[str, Any]], tokenizer: PreTrainedTokenizerBase, max_contexts: int
    ) -> PageText:
        """``[ContextId=-1] [NoLongAnswer]``, then of each candidate ``[ContextId=i] [Kind=n]`` and its words.

        max_contexts  how many are read, the leading one included
        """
        read = candidates[: max_contexts - 1]
        by_candidate = [c["words"].split(" ") for c in read]
        words = [word for inside in by_candidate for word in inside]
        pieces = iter(pieces_of(words, tokenizer))
        known, unknown = marker_ids(tokenizer), tokenizer.unk_token_id
        ids = [known["[ContextId=-1]"], known[NO_LONG_ANSWER]]
        of_candidate, of_word = [NOWHERE] * 2, [NOWHERE] * 2
        counts: Counter[str] = Counter()
        at = 0
        for number, (candidate, inside) in enumerate(zip(read, by_candidate, strict=True)):
            kind = candidate["kind"]
            counts[kind] = min(counts[kind] + 1, MAX_POSITION)
            for marker in (f"[ContextId={candidate['index']}]", f"[{kind}={counts[kind]}]"):
                ids.append(known.get(marker, unknown))
            of_word += [NOWHERE] * 2
            for word in range(at, at + len(inside)):
                of_one = next(pieces)
                ids += of_one
                of_word += [word] * len(of_one)
            at += len(inside)
            of_candidate += [NOWHERE] * 2 + [number] * (len(ids) - len(of_candidate) - 2)
        tokens = [t for c in read for t in c["tokens"]]
        ids_P, candidate_P, word_P, tokens_ = (np.array(x, np.int32) for x in (ids, of_candidate, of_word, tokens))
        return cls(ids_P, candidate_P, word_P, words, tokens_)

    def pieces_of(self, candidate: int, start: int = 0, end: int | None = None) -> Window | None:
        """The pieces of a candidate's words, or of those of its words that are tokens [start, end) of the page."""
        inside = self.candidate_P == candidate
        if end is not None:
            token_P = np.append(self.tokens, NOWHERE)[self.word_P]
            inside &= (start <= token_P) & (token_P < end)
        found = np.flatnonzero(inside)
        return Window(int(found[0]), int(found[-1]) + 1) if len(found) else None

    def show(self, window: Window, shift: int, candidates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What an example says of its window: its ``runs``, ``word``, ``words``, ``tokens`` and ``long``.

        shift  from a piece to its position in the sequence
        """
        word, candidate = self.word_P[window.start : window.end], self.candidate_P[window.start : window.end]
        border = np.flatnonzero(np.diff(candidate, prepend=NOWHERE - 1, append=NOWHERE - 1))
        runs = [
            (start + window.start + shift, end + window.start + shift)
            for start, end in pairwise(border)
            if candidate[start] != NOWHERE
        ]
        of_words = word[word != NOWHERE]
        low, high = (int(of_words[0]), int(of_words[-1]) + 1) if len(of_words) else (0, 0)
        tokens = self.tokens[low:high]
        around = [c for c in candidates if len(tokens) and c["start"] <= tokens[-1] and tokens[0] < c["end"]]
        return {
            "runs": np.array(runs, np.int32).reshape(-1),
            "word": np.where(word == NOWHERE, NOWHERE, word - low),
            "words": " ".join(self.words[low:high]),
            "tokens": tokens,
            "long": np.array([(c["start"], c["end"]) for c in around], np.int32).reshape(-1),
        }
