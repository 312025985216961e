"""CoNLL-U, the format of Universal Dependencies: a sentence's lines to columns, and other columns into its lines.

https://universaldependencies.org/format.html. A sentence is kept as it stands in the file, and what is written back
is that text with single cells replaced: comments of any form, multiword tokens, empty nodes and the columns that no
model predicts cannot get lost. (The package conllu drops comments without a value, and takes lines with columns
missing.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from models.spanning_tree import is_tree

ID, FORM, LEMMA, UPOS, XPOS, FEATS, HEAD, DEPREL, DEPS, MISC = range(10)
NAMES = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
UNKNOWN = -1
"""The head of a word that has none given (``_``): a sentence to be parsed."""

_WORD = re.compile(r"[1-9]\d*")
_RANGE = re.compile(r"([1-9]\d*)-([1-9]\d*)")
_EMPTY_NODE = re.compile(r"(\d+)\.[1-9]\d*")
_EDGE = re.compile(r"(\d+)(\.[1-9]\d*)?:.+")


class ConlluError(ValueError):
    """What is wrong with a sentence, and with which of its lines (from 0)."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


@dataclass
class Words:
    """The columns of a sentence's syntactic words: what is tagged and hangs in the tree."""

    words: list[str] = field(default_factory=list)
    lemmas: list[str] = field(default_factory=list)
    upos: list[str] = field(default_factory=list)
    xpos: list[str] = field(default_factory=list)
    feats: list[str] = field(default_factory=list)
    heads: list[int] = field(default_factory=list)
    """0 is the root, word i (from 0) is i + 1; UNKNOWN for all words of a sentence without a tree."""
    deprels: list[str] = field(default_factory=list)


def parse(sentence: str) -> Words:
    """The words of a sentence. ConlluError where its lines are no CoNLL-U or its heads no tree with one root."""
    found = Words()
    lines: list[int] = []
    furthest = (0, 0)  # the largest head of an enhanced edge, and its line
    covered = 0  # the last word of the last multiword token
    commenting = True
    for number, line in enumerate(sentence.split("\n")):
        commenting = commenting and line.startswith("#")
        if commenting:
            continue
        cells = line.split("\t")
        if len(cells) != len(NAMES):
            raise ConlluError(number, f"{len(cells)} columns, not {len(NAMES)} with tabs between: '{shortened(line)}'")
        for name, cell in zip(NAMES, cells, strict=True):
            if not cell.strip():
                raise ConlluError(number, f"{name} is empty (what is not given is written _)")
        if cells[DEPS] != "_":
            furthest = max(furthest, *((_edge(edge, number), number) for edge in cells[DEPS].split("|")))
        n = len(found.words)
        if _WORD.fullmatch(cells[ID]):
            if int(cells[ID]) != n + 1:
                raise ConlluError(number, f"ID is {cells[ID]} where word {n + 1} was due")
            lines.append(number)
            found.words.append(cells[FORM])
            found.lemmas.append(cells[LEMMA])
            found.upos.append(cells[UPOS])
            found.xpos.append(cells[XPOS])
            found.feats.append(cells[FEATS])
            found.heads.append(_head(cells[HEAD], number))
            found.deprels.append(cells[DEPREL])
        elif span := _RANGE.fullmatch(cells[ID]):
            first, last = map(int, span.groups())
            if first != n + 1 or first <= covered or last <= first:
                raise ConlluError(number, f"the multiword token {cells[ID]} does not begin with word {n + 1}")
            covered = last
        elif (node := _EMPTY_NODE.fullmatch(cells[ID])) and int(node[1]) == n:
            continue
        else:
            raise ConlluError(number, f"ID is '{shortened(cells[ID])}', where word {n + 1} was due")
    if not lines:
        raise ConlluError(0, "a sentence without words")
    if covered > len(lines):
        raise ConlluError(lines[-1], f"a multiword token reaches to word {covered}, the sentence to {len(lines)}")
    if furthest[0] > len(lines):
        raise ConlluError(furthest[1], f"DEPS names word {furthest[0]} in a sentence of {len(lines)} words")
    _check_tree(found.heads, lines)
    return found


def annotate(
    sentence: str, lemmas: Sequence[str], upos: Sequence[str], feats: Sequence[str], heads: Sequence[int],
    deprels: Sequence[str],
) -> str:  # fmt: skip
    """The sentence with these columns of its words and everything else as it is."""
    lines = sentence.split("\n")
    word = 0
    for number, line in enumerate(lines):
        cells = line.split("\t")
        if line.startswith("#") or not _WORD.fullmatch(cells[ID]):
            continue
        cells[LEMMA], cells[UPOS], cells[FEATS] = lemmas[word], upos[word], feats[word]
        cells[HEAD], cells[DEPREL] = str(heads[word]), deprels[word]
        lines[number] = "\t".join(cells)
        word += 1
    return "\n".join(lines)


def bare(words: Sequence[str]) -> str:
    """A sentence of words that nothing else is known of. ValueError where one of them is not a FORM."""
    for word in words:
        if not word.strip() or "\t" in word or "\n" in word:
            raise ValueError(f"'{shortened(word)}' is not a word (it is empty, or holds a tab or a line's end)")
    return "\n".join("\t".join([str(i), word, *"_" * 8]) for i, word in enumerate(words, 1))


def shortened(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


def _head(cell: str, line: int) -> int:
    if cell == "_":
        return UNKNOWN
    if not re.fullmatch(r"\d+", cell):
        raise ConlluError(line, f"HEAD is '{shortened(cell)}', not the number of a word")
    return int(cell)


def _edge(edge: str, line: int) -> int:
    """The head of an edge of the enhanced graph."""
    found = _EDGE.fullmatch(edge)
    if not found:
        raise ConlluError(line, f"DEPS holds '{shortened(edge)}', not a head, a colon and a relation")
    return int(found[1])


def _check_tree(heads: list[int], lines: list[int]) -> None:
    """ConlluError unless the heads are a tree with one root, or all unknown."""
    if all(head == UNKNOWN for head in heads):
        return
    for word, (head, line) in enumerate(zip(heads, lines, strict=True), 1):
        if head == UNKNOWN:
            raise ConlluError(line, "HEAD is _ while other words of the sentence have one")
        if head > len(heads):
            raise ConlluError(line, f"HEAD is {head} in a sentence of {len(heads)} words")
        if head == word:
            raise ConlluError(line, f"word {word} is its own HEAD")
    roots = [i for i, head in enumerate(heads) if head == 0]
    if len(roots) > 1:
        raise ConlluError(lines[roots[1]], f"a second root: words {roots[0] + 1} and {roots[1] + 1} both have HEAD 0")
    if not is_tree(heads):
        raise ConlluError(lines[0], "the HEADs of the sentence run in a circle")
