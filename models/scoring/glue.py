"""GLUE's figures (Wang et al. 2019, table 1): Matthews, accuracy and F1, Pearson and Spearman."""

from __future__ import annotations

import math
from collections.abc import Sequence


def accuracy(gold: Sequence[str], predicted: Sequence[str]) -> float:
    """Share of labels that are right."""
    return sum(g == p for g, p in zip(gold, predicted, strict=True)) / len(gold)


def f1(gold: Sequence[str], predicted: Sequence[str], positive: str) -> float:
    """Harmonic mean of precision and recall of the label ``positive``; 0 where it is nowhere."""
    both = sum(g == p == positive for g, p in zip(gold, predicted, strict=True))
    either = sum(g == positive for g in gold) + sum(p == positive for p in predicted)
    return 2 * both / either if either else 0.0


def macro_f1(gold: Sequence[str], predicted: Sequence[str]) -> float:
    """Mean of each label's F1, of all that are in either."""
    labels = sorted({*gold, *predicted})
    return math.fsum(f1(gold, predicted, label) for label in labels) / len(labels)


def matthews(gold: Sequence[str], predicted: Sequence[str]) -> float:
    """Matthews' correlation coefficient; 0 where all labels, gold or predicted, are one."""
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(list(gold), list(predicted)))


def pearson(gold: Sequence[float], predicted: Sequence[float]) -> float:
    """Pearson's correlation; 0 where it is undefined: fewer than two values, or all of them equal."""
    from scipy.stats import pearsonr

    return float(pearsonr(gold, predicted).statistic) if _vary(gold, predicted) else 0.0


def spearman(gold: Sequence[float], predicted: Sequence[float]) -> float:
    """Spearman's correlation of ranks, ties at their mean rank; 0 where it is undefined, as above."""
    from scipy.stats import spearmanr

    return float(spearmanr(gold, predicted).statistic) if _vary(gold, predicted) else 0.0


def _vary(*values: Sequence[float]) -> bool:
    return all(len(set(v)) > 1 for v in values)
