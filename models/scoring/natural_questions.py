"""Natural Questions' official figures (Kwiatkowski et al. 2019, section 5; the rule of nq_eval.py).

A page has a long (short) answer where two or more annotators gave one; an answer is right where it is exactly that of
any annotator; an answer to a page without one counts against precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

VOTES = 2
"""Annotators who must have given an answer for there to be one."""
PRECISIONS = (0.5, 0.75, 0.9)
"""At which recall is reported."""

Span = tuple[int, int]


class Label(NamedTuple):
    """What an annotator, or a system, answered. Spans are of tokens, the end exclusive."""

    long: Span | None
    short: frozenset[Span]
    yes_no: str = "NONE"
    """"YES", "NO" or "NONE"; with one of the first two there are no short spans."""

    @property
    def has_short(self) -> bool:
        return bool(self.short) or self.yes_no != "NONE"


class Judged(NamedTuple):
    """One page's long or short answer."""

    expected: bool
    """Whether there is one."""
    given: bool
    right: bool
    score: float


class Point(NamedTuple):
    """Precision and recall of the answers that score ``threshold`` or more."""

    precision: float
    recall: float
    threshold: float

    @property
    def f1(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def judge_long(golds: Sequence[Label], answer: Label, score: float) -> Judged:
    expected = sum(gold.long is not None for gold in golds) >= VOTES
    given = answer.long is not None
    return Judged(expected, given, expected and given and any(gold.long == answer.long for gold in golds), score)


def judge_short(golds: Sequence[Label], answer: Label, score: float) -> Judged:
    """Short spans and YES or NO are one kind of answer; spans are right where they are all of an annotator's."""
    expected = sum(gold.has_short for gold in golds) >= VOTES
    if answer.yes_no != "NONE":
        same = any(gold.yes_no == answer.yes_no for gold in golds)
    else:
        same = any(gold.short == answer.short for gold in golds)
    return Judged(expected, answer.has_short, expected and answer.has_short and same, score)


def curve(judged: Sequence[Judged]) -> list[Point]:
    """A point for every score, from the highest down."""
    expected = sum(j.expected for j in judged)
    given = right = 0
    points: list[Point] = []
    for j in sorted(judged, key=lambda j: -j.score):
        given, right = given + j.given, right + j.right
        point = Point(right / given if given else 0.0, right / expected if expected else 0.0, j.score)
        if points and points[-1].threshold == j.score:
            points.pop()
        points.append(point)
    return points


def best_point(judged: Sequence[Judged]) -> Point:
    """The point with the highest F1; of equal ones the one with the highest threshold."""
    return max(curve(judged), key=lambda point: point.f1)


def figures(judged: Sequence[Judged], prefix: str, threshold: float | None = None) -> dict[str, float]:
    """``best_``: F1, precision and recall at the threshold that is best for these very pages, the official figure; the
    best recall at each of ``PRECISIONS``; and, with a ``threshold``, f1, precision and recall at that."""
    points = curve(judged)
    best = max(points, key=lambda point: point.f1)
    out = {"best_f1": best.f1, "best_precision": best.precision, "best_recall": best.recall}
    out["best_threshold"] = best.threshold
    for precision in PRECISIONS:
        out[f"recall_at_{precision}"] = max((p.recall for p in points if p.precision >= precision), default=0.0)
    if threshold is not None:
        above = [p for p in points if p.threshold >= threshold]
        at = above[-1] if above else Point(0.0, 0.0, threshold)
        out |= {"f1": at.f1, "precision": at.precision, "recall": at.recall}
    return {f"{prefix}_{name}": value for name, value in out.items()}
