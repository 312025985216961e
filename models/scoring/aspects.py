"""Scores of aspects and their sentiments: SentiHood's and those of SemEval-2014 task 4.

Both are those of Sun et al. 2019 (arXiv 1903.09588), with the rules of the authors' evaluation, which its figures
depend on. A *group* is what one text says of one target: an answer for every aspect.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass

SENTIHOOD = ("None", "Positive", "Negative")
"""Labels of SentiHood; the first says that the aspect is absent."""
SEMEVAL = ("positive", "neutral", "negative", "conflict", "none")
"""Labels of SemEval-2014; the last says that the aspect is absent."""


@dataclass(frozen=True)
class Answer:
    """What is said of an aspect of a group, and what is held to be said."""

    group: Hashable
    aspect: str
    gold: str
    scores: Mapping[str, float]
    """How likely each label is; positive, in the labels' order."""

    @property
    def label(self) -> str:
        """The likeliest label; of equals the first."""
        return max(self.scores, key=self.scores.__getitem__)

    def best(self, allowed: Collection[str]) -> str:
        """The label, or where that is not allowed the likeliest that is."""
        return self.label if self.label in allowed else max(allowed, key=self.scores.__getitem__)


def sentihood_scores(answers: Sequence[Answer]) -> dict[str, float]:
    """SentiHood's figures (Saeidi et al. 2016).

    aspect_strict_accuracy  share of groups of which every aspect has the right label, its sentiment included
    aspect_macro_f1         of precision and recall of present aspects, each averaged over the groups that have any
    aspect_macro_auc        area under the curve of P(None), averaged over aspects
    sentiment_accuracy      of present aspects: whether P(Negative) / (P(Positive) + P(Negative)) is above one half
    sentiment_macro_auc     area under the curve of that share, averaged over aspects

    An area that is undefined, since all its answers have one gold label, has no part in an average.
    """
    absent, positive, negative = SENTIHOOD
    groups = _groups(answers)
    strict = [all(a.label == a.gold for a in group) for group in groups]
    present = [a for a in answers if a.gold != absent]
    negative_share = [a.scores[negative] / (a.scores[positive] + a.scores[negative]) for a in present]
    right = [(share > 0.5) == (a.gold == negative) for a, share in zip(present, negative_share, strict=True)]
    return {
        "aspect_strict_accuracy": _mean(strict),
        "aspect_macro_f1": _macro_f1(groups, absent),
        "aspect_macro_auc": _macro_auc(
            answers, [a.gold == absent for a in answers], [a.scores[absent] for a in answers]
        ),
        "sentiment_accuracy": _mean(right),
        "sentiment_macro_auc": _macro_auc(present, [a.gold == negative for a in present], negative_share),
    }


def semeval_scores(answers: Sequence[Answer]) -> dict[str, float]:
    """SemEval-2014's figures (Pontiki et al. 2014, subtasks 3 and 4).

    aspect_precision, aspect_recall, aspect_f1  of present aspects over all groups that have any
    sentiment_accuracy_4, _3, _2                of present aspects, by the likeliest of the labels: all that are a
                                                sentiment; without conflict; positive and negative alone. An aspect
                                                whose gold label is none of them is left out.
    """
    positive, neutral, negative, conflict, absent = SEMEVAL
    found = given = both = 0
    for group in _groups(answers):
        said, meant = _present(group, absent)
        if meant:
            found, given, both = found + len(said), given + len(meant), both + len(said & meant)
    precision, recall = _ratio(both, found), _ratio(both, given)
    figures = {"aspect_precision": precision, "aspect_recall": recall, "aspect_f1": _f1(precision, recall)}
    for allowed in ((positive, neutral, negative, conflict), (positive, neutral, negative), (positive, negative)):
        judged = [a.best(allowed) == a.gold for a in answers if a.gold in allowed]
        figures[f"sentiment_accuracy_{len(allowed)}"] = _mean(judged)
    return figures


def _groups(answers: Sequence[Answer]) -> list[list[Answer]]:
    groups: dict[Hashable, list[Answer]] = defaultdict(list)
    for answer in answers:
        groups[answer.group].append(answer)
    return list(groups.values())


def _present(group: Sequence[Answer], absent: str) -> tuple[set[str], set[str]]:
    """The aspects that are held to be there, and those that are."""
    return {a.aspect for a in group if a.label != absent}, {a.aspect for a in group if a.gold != absent}


def _macro_f1(groups: Sequence[Sequence[Answer]], absent: str) -> float:
    precisions, recalls = [], []
    for group in groups:
        said, meant = _present(group, absent)
        if meant:
            precisions.append(_ratio(len(said & meant), len(said)))
            recalls.append(_ratio(len(said & meant), len(meant)))
    return _f1(_mean(precisions), _mean(recalls))


def _macro_auc(answers: Sequence[Answer], gold: Sequence[bool], scores: Sequence[float]) -> float:
    from sklearn.metrics import roc_auc_score

    by_aspect: dict[str, tuple[list[bool], list[float]]] = defaultdict(lambda: ([], []))
    for answer, is_, score in zip(answers, gold, scores, strict=True):
        by_aspect[answer.aspect][0].append(is_)
        by_aspect[answer.aspect][1].append(score)
    return _mean([float(roc_auc_score(is_, score)) for is_, score in by_aspect.values() if len(set(is_)) == 2])


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
