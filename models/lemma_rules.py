"""Lemmas as rules that edit the form, so that a classifier over rules lemmatises words it has never seen.

The rules are UDPipe Future's (Straka 2018, section 3.3), which UDify took over:

    CASING;dPREFIX¦SUFFIX   the longest common substring of the lower-cased form and lemma stays; PREFIX edits what
                            stands before it and SUFFIX what stands after, each as ``+x`` (insert x) and ``-`` (delete)
    CASING;aLEMMA           nothing in common: the lemma itself, lower-cased
    =LEMMA                  the lemma itself, for the few words that the two others do not bring back exactly

CASING says where capitals (↑) and small letters (↓) begin, counted from the end in the second half: ``↑0¦↓1``.
"""

from __future__ import annotations

from difflib import SequenceMatcher
from functools import lru_cache

UPPER, LOWER = "↑↓"
SEPARATOR = "¦"


@lru_cache(maxsize=1 << 16)
def lemma_rule(form: str, lemma: str) -> str:
    """The rule that makes ``lemma`` of ``form``: ``apply_rule(form, lemma_rule(form, lemma)) == lemma``, always."""
    low_form, low_lemma = form.lower(), lemma.lower()
    common = SequenceMatcher(None, low_lemma, low_form, autojunk=False).find_longest_match()
    if common.size:
        prefix = _edits(low_form[: common.b], low_lemma[: common.a])
        suffix = _edits(low_form[common.b + common.size :], low_lemma[common.a + common.size :])
        rule = f"{_casing(lemma)};d{prefix}{SEPARATOR}{suffix}"
    else:
        rule = f"{_casing(lemma)};a{low_lemma}"
    # A few letters change their number with their case (İ, ß): what does not come back is kept as it is.
    return rule if apply_rule(form, rule) == lemma else f"={lemma}"


@lru_cache(maxsize=1 << 16)
def apply_rule(form: str, rule: str) -> str:
    """The lemma of ``form`` by a rule of ``lemma_rule``; the form itself where the rule would leave nothing of it."""
    if rule.startswith("="):
        return rule[1:]
    casing, _, edit = rule.partition(";")
    if edit.startswith("a"):
        return _cased(edit[1:], casing)
    (before, drop_before), (after, drop_after) = _read_edits(edit[1:])
    low = form.lower()
    lemma = before + low[drop_before : len(low) - drop_after] + after
    return _cased(lemma, casing) if drop_before + drop_after <= len(low) and lemma.strip() else form


def _edits(source: str, target: str) -> str:
    """Without copies the fewest edits insert all of one and delete all of the other."""
    return "".join("+" + c for c in target) + "-" * len(source)


def _read_edits(edits: str) -> list[tuple[str, int]]:
    """Text inserted and letters deleted, before and after the common part."""
    sides = [("", 0)]
    letters = iter(edits)
    for operation in letters:
        inserted, deleted = sides[-1]
        if operation == "+":
            sides[-1] = inserted + next(letters), deleted
        elif operation == "-":
            sides[-1] = inserted, deleted + 1
        else:
            sides.append(("", 0))
    return sides


def _casing(lemma: str) -> str:
    """Where runs of capital and small letters begin."""
    runs = []
    last = ""
    for i, letter in enumerate(lemma):
        case = UPPER if letter != letter.lower() else LOWER
        if case != last:
            runs.append(f"{case}{i if i <= len(lemma) // 2 else i - len(lemma)}")
        last = case
    return SEPARATOR.join(runs)


def _cased(lemma: str, casing: str) -> str:
    for run in filter(None, casing.split(SEPARATOR)):
        case, start = run[0], int(run[1:])
        tail = lemma[start:]
        lemma = lemma[:start] + (tail.upper() if case == UPPER else tail.lower())
    return lemma
