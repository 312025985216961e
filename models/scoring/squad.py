"""SQuAD's official figures: exact match and token F1, with version 2's rules for questions without an answer.

The rules of evaluate-v2.0.py (Rajpurkar et al. 2018), as shares where that prints per cent. Version 1.1's script
differs only where an answer is all punctuation or articles.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class Scored:
    """What is known of one question."""

    answers: Sequence[str]
    """The gold answers; none for a question without an answer."""
    prediction: str
    """The best answer that is none of "no answer"; empty where there is no such answer."""
    null_odds: float | None = None
    """Score of "no answer" minus that of the prediction; None where one of the two is missing."""


def normalized(text: str) -> str:
    """Lower case, without punctuation, articles and superfluous white space."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """1.0 where the prediction is one of the answers; the only answer to a question without one is ""."""
    return float(any(normalized(prediction) == normalized(answer) for answer in _golds(answers)))


def f1(prediction: str, answers: Sequence[str]) -> float:
    """The best token F1 with any of the answers, from 0 to 1."""
    return max(_token_f1(normalized(prediction).split(), normalized(a).split()) for a in _golds(answers))


def figures(questions: Sequence[Scored], threshold: float | None = None) -> dict[str, float]:
    """exact and f1 and, with a ``threshold``, version 2's, at that threshold and at the best ones.

    No answer is given where ``null_odds`` is above ``threshold``. ``best_f1`` and ``best_exact`` are those of the
    thresholds that fit these very questions best.
    """
    if not questions:
        return {}
    raw = {
        "exact": [exact_match(q.prediction, q.answers) for q in questions],
        "f1": [f1(q.prediction, q.answers) for q in questions],
    }
    if threshold is None:
        return {name: _mean(scores) for name, scores in raw.items()}
    given = {
        name: [
            float(not q.answers) if _odds(q) > threshold else score for q, score in zip(questions, scores, strict=True)
        ]
        for name, scores in raw.items()
    }
    out = {name: _mean(scores) for name, scores in given.items()}
    for prefix, answerable in (("has_answer", True), ("no_answer", False)):
        for name, scores in given.items():
            kind = [s for q, s in zip(questions, scores, strict=True) if bool(q.answers) == answerable]
            if kind:
                out[f"{prefix}_{name}"] = _mean(kind)
    for name, scores in raw.items():
        out[f"best_{name}"], out[f"best_{name}_threshold"] = best_threshold(questions, scores)
    return out


def best_threshold(questions: Sequence[Scored], scores: Sequence[float]) -> tuple[float, float]:
    """The best mean of ``scores`` that a threshold on ``null_odds`` can give, and that threshold.

    Starts from answering nothing and takes in questions in order of their odds, as the official script does; where
    answering nothing is best, the threshold is below all odds and not its 0.
    """
    score = best = float(sum(not q.answers for q in questions))
    threshold = min((q.null_odds for q in questions if q.null_odds is not None), default=1.0) - 1.0
    for question, gain in sorted(zip(questions, scores, strict=True), key=lambda pair: _odds(pair[0])):
        score += gain if question.answers else -float(bool(question.prediction))
        if score > best and question.null_odds is not None:
            best, threshold = score, question.null_odds
    return best / len(questions), threshold


def _golds(answers: Sequence[str]) -> Sequence[str]:
    return [a for a in answers if normalized(a)] or [""]


def _token_f1(predicted: Sequence[str], gold: Sequence[str]) -> float:
    if not predicted or not gold:
        return float(predicted == gold)
    same = (Counter(predicted) & Counter(gold)).total()
    return 2 * same / (len(predicted) + len(gold))


def _odds(question: Scored) -> float:
    """A question without any prediction is never answered."""
    return math.inf if question.null_odds is None else question.null_odds


def _mean(scores: Sequence[float]) -> float:
    return math.fsum(scores) / len(scores)
