"""One vocabulary for words and visual words: text first, then the joining word ``[>]``, then the leaves of a codebook.

A visual word is an ordinary entry of the WordPiece vocabulary whose name shows its path in the tree,
``<v:3.0.11.7>``. BERT's pre-tokenizer cuts at every punctuation mark, so what is looked up in the vocabulary never
holds one beside another character, while ``[>]`` and every visual word do: no text can produce them. Which leaves no
clip belongs to stands in the tokenizer's settings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.codebook import token_path
from models.words import BLANK

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

JOIN = "[>]"
"""Stands between the words and the visual words of a sequence."""
GOES_ON = "##"
"""What WordPiece puts before a piece that goes on a word."""
BLANKS = (BLANK, "▁")
"""What byte-level BPE and SentencePiece write for the blank before a word."""
_VISUAL = re.compile(r"<v:(\d+(?:\.\d+)*)>")
_DEAD = "dead_visual_words"
"""Which of the codebook's tokens no clip belongs to, as "0-6,8-20735": one of the settings in tokenizer_config.json."""


@dataclass(frozen=True)
class Vocabulary:
    """The ids of a tokenizer. One without visual words (a plain BERT's) has ``n_visual`` = 0."""

    n_text: int
    """Ids below are the text encoder's own."""
    branching: int
    depth: int
    """The codebook's: branching ** depth visual words; both 0 where there are none."""
    pad: int
    cls: int
    sep: int
    mask: int
    tokenizer: PreTrainedTokenizerBase = field(repr=False, compare=False)

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
        """Read from a tokenizer: the name of its last word, the codebook's last leaf, tells all."""
        n_words = len(tokenizer)
        path = visual_path(str(tokenizer.convert_ids_to_tokens(n_words - 1)))
        branching, depth = (path[-1] + 1, len(path)) if path else (0, 0)
        return cls(
            n_text=n_words - branching**depth - 1 if path else n_words,
            branching=branching,
            depth=depth,
            pad=tokenizer.pad_token_id,
            cls=tokenizer.cls_token_id,
            sep=tokenizer.sep_token_id,
            mask=tokenizer.mask_token_id,
            tokenizer=tokenizer,
        )

    @property
    def n_visual(self) -> int:
        return self.branching**self.depth if self.depth else 0

    @property
    def join(self) -> int:
        """The id of ``[>]``."""
        return self.n_text

    @property
    def first_visual(self) -> int:
        """The id of visual word 0; the others follow in order."""
        return self.n_text + 1

    @cached_property
    def continues(self) -> np.ndarray:
        """Whether an id is a piece that goes on a word: bool, one for every id.

        WordPiece marks those, "##s"; byte-level BPE and SentencePiece mark the others, by the blank before a word.
        """
        continues = np.zeros(len(self.tokenizer), bool)
        if self.is_wordpiece:
            continues[: self.n_text] = [name.startswith(GOES_ON) for name in self._text_words]
        else:
            continues[: self.n_text] = [not name.startswith(BLANKS) for name in self._text_words]
            continues[self.tokenizer.all_special_ids] = False
        return continues

    @cached_property
    def is_wordpiece(self) -> bool:
        """Whether words are cut as BERT's tokenizer cuts them."""
        return type(self.tokenizer.backend_tokenizer.model).__name__ == "WordPiece"

    @cached_property
    def _text_words(self) -> list[str]:
        return [str(name) for name in self.tokenizer.convert_ids_to_tokens(list(range(self.n_text)))]

    @cached_property
    def live_visual(self) -> np.ndarray:
        """The ids of visual words that clips belong to: int64, ascending."""
        live = np.ones(self.n_visual, bool)
        for run in filter(None, self.tokenizer.init_kwargs.get(_DEAD, "").split(",")):
            first, last = map(int, run.split("-"))
            live[first : last + 1] = False
        return np.flatnonzero(live) + self.first_visual

    def visual_ids(self, tokens: Sequence[int] | np.ndarray) -> np.ndarray:
        """Ids [n] int64 of a codebook's tokens [n]. ValueError where one is no leaf of this codebook."""
        numbers = np.asarray(tokens, np.int64)
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < self.n_visual:
            raise ValueError(
                f"visual word {numbers.max()}, but the tokenizer has {self.n_visual}: "
                "extend the encoder with the codebook that made the tokens"
            )
        return numbers + self.first_visual

    def word(self, id_: int) -> str:
        """What an id stands for: a wordpiece, ``[>]`` or a visual word."""
        return str(self.tokenizer.convert_ids_to_tokens(int(id_)))


def visual_word(token: int, branching: int, depth: int) -> str:
    """The name of a codebook's token: its path from the root."""
    return f"<v:{'.'.join(map(str, token_path(token, branching, depth)))}>"


def visual_path(word: str) -> tuple[int, ...]:
    """The path of a visual word's name; empty for any other word."""
    match = _VISUAL.fullmatch(word)
    return tuple(map(int, match[1].split("."))) if match else ()


def extend_tokenizer(
    tokenizer: PreTrainedTokenizerBase,
    branching: int,
    depth: int,
    directory: Path,
    dead: Sequence[int] | np.ndarray = (),
) -> PreTrainedTokenizerBase:
    """Write ``tokenizer`` into ``directory`` with ``[>]`` and all visual words appended; returns it loaded from there.

    dead    the codebook's tokens that no clip belongs to, ascending

    The words go into the WordPiece vocabulary itself: as added tokens 20,737 of them would be searched for in every
    text, and found. ValueError for a tokenizer that is not BERT's WordPiece or has visual words already.
    """
    from transformers import AutoTokenizer

    state = _wordpiece_state(tokenizer)
    vocabulary = state["model"]["vocab"]
    for token in state["added_tokens"]:
        vocabulary.setdefault(token["content"], token["id"])
    n_text = len(vocabulary)
    if sorted(vocabulary.values()) != list(range(n_text)):
        raise ValueError(f"its {n_text} words are not numbered from 0 to {n_text - 1}")
    new = [JOIN, *(visual_word(token, branching, depth) for token in range(branching**depth))]
    known = [word for word in new if word in vocabulary]
    if known:
        raise ValueError(f"its vocabulary holds '{known[0]}' already: give the encoder from before it was extended")
    vocabulary |= {word: n_text + i for i, word in enumerate(new)}
    tokenizer.save_pretrained(directory)
    # Sentence encoders ship with a length they cut and pad to; what is cut is for the tasks to say.
    _write_json(directory / "tokenizer.json", state | {"truncation": None, "padding": None})
    words = sorted(vocabulary, key=vocabulary.__getitem__)
    (directory / "vocab.txt").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    settings = json.loads((directory / "tokenizer_config.json").read_text(encoding="utf-8"))
    of_the_source = {
        "is_local",
        "local_files_only",
        "max_length",
        "pad_to_multiple_of",
        "stride",
        "truncation_strategy",
    }
    kept = {name: value for name, value in settings.items() if name not in of_the_source}
    runs = np.split(np.asarray(dead, int), np.flatnonzero(np.diff(dead) != 1) + 1)
    kept[_DEAD] = ",".join(f"{run[0]}-{run[-1]}" for run in runs if len(run))
    _write_json(directory / "tokenizer_config.json", kept)
    return AutoTokenizer.from_pretrained(str(directory))


def _wordpiece_state(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """What tokenizer.json holds. ValueError unless it is WordPiece behind BERT's pre-tokenizer."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    state: dict[str, Any] = json.loads(backend.to_str()) if backend is not None else {}
    model, cutter = ((state.get(part) or {}).get("type") for part in ("model", "pre_tokenizer"))
    if (model, cutter) != ("WordPiece", "BertPreTokenizer"):
        raise ValueError(
            f"its tokenizer is {model or type(tokenizer).__name__} behind {cutter or 'nothing'}, not BERT's WordPiece: "
            "models of the types bert, distilbert, electra, mpnet, convbert, ernie, megatron-bert and squeezebert have "
            "that, RoBERTa, DeBERTa and ModernBERT have not"
        )
    return state


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
