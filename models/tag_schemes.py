"""Spans of words as tags: BIO, IOB1 and BIOES, one to another, and what in a sequence is against its scheme."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

Scheme = Literal["BIO", "IOB1", "BIOES"]

OUTSIDE = "O"
_PREFIXES = {"BIO": "BI", "IOB1": "BI", "BIOES": "BIES"}


class Span(NamedTuple):
    """Words ``start`` to ``end`` (exclusive) are a ``label``."""

    label: str
    start: int
    end: int


def spans_of(tags: Sequence[str]) -> list[Span]:
    """The spans that tags of any scheme mark, read as conlleval does: what no B- or S- begins, begins all the same.

    So I-X after O or after another label begins a span, and what follows E- or S- is a new one.
    """
    spans: list[Span] = []
    open_: tuple[str, int] | None = None
    closed = True
    """Whether the word before ended its span."""
    for i, tag in enumerate([*tags, OUTSIDE]):
        prefix, _, label = tag.partition("-")
        goes_on = open_ is not None and prefix in ("I", "E") and not closed and label == open_[0]
        if open_ is not None and not goes_on:
            spans.append(Span(open_[0], open_[1], i))
            open_ = None
        if tag != OUTSIDE and open_ is None:
            open_ = (label, i)
        closed = prefix in ("E", "S")
    return spans


def tags_of(spans: Iterable[Span], words: int, scheme: Scheme = "BIO") -> list[str]:
    """The tags of ``words`` words that mark ``spans``, which are in order and do not overlap."""
    tags = [OUTSIDE] * words
    before: Span | None = None
    for span in spans:
        touches = before is not None and before.end == span.start and before.label == span.label
        first = "I" if scheme == "IOB1" and not touches else "B"
        tags[span.start : span.end] = [f"I-{span.label}"] * (span.end - span.start)
        tags[span.start] = f"{first}-{span.label}"
        if scheme == "BIOES":
            tags[span.end - 1] = f"{'S' if span.end - span.start == 1 else 'E'}-{span.label}"
        before = span
    return tags


def mark_spans(tags: Iterable[str]) -> bool:
    """Whether tags are those of spans, of any scheme, and not parts of speech for example."""
    return all(re.fullmatch("O|[BIES]-.+", tag) for tag in tags)


def repair(tags: Sequence[str]) -> list[str]:
    """BIO with the same spans: an I- that nothing begins becomes B-."""
    return tags_of(spans_of(tags), len(tags))


def first_offence(tags: Sequence[str], scheme: Scheme) -> tuple[int, str] | None:
    """The first word whose tag the scheme does not allow, and what is wrong with it; None where all is well."""
    allowed = re.compile(f"O|[{_PREFIXES[scheme]}]-.+")
    for i, tag in enumerate(tags):
        if not allowed.fullmatch(tag):
            return i, f"'{tag}' is no tag of {scheme}"
    for i, (tag, right) in enumerate(zip(tags, tags_of(spans_of(tags), len(tags), scheme), strict=True)):
        if tag != right:
            return i, f"'{tag}' is against {scheme}, which has '{right}' here"
    return None
