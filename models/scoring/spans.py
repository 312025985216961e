"""Scores of tagged words: spans as conlleval counts them, words one by one."""

from __future__ import annotations

from collections.abc import Sequence


def span_scores(gold: Sequence[Sequence[str]], answers: Sequence[Sequence[str]]) -> dict[str, float]:
    """``precision``, ``recall`` and ``f1`` of spans over all sequences together (micro-averaged), by seqeval.

    A span is right where its label, beginning and end are. Sequences against their scheme are read as conlleval reads
    them, so that repairing them changes nothing; what is undefined, precision without answers for example, is 0.

    gold, answers  tags of any scheme; ValueError where a sequence has another length than its answer
    """
    from seqeval.metrics.sequence_labeling import precision_recall_fscore_support

    lines = [list(tags) for tags in gold], [list(tags) for tags in answers]
    if not lines[0]:
        return {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    precision, recall, f1, _ = precision_recall_fscore_support(*lines, average="micro", zero_division=0)
    return {"precision": float(precision), "recall": float(recall), "f1": float(f1)}


def word_accuracy(gold: Sequence[Sequence[str]], answers: Sequence[Sequence[str]]) -> float:
    """Share of words with the right tag; 0 where there is no word."""
    right = total = 0
    for tags, answer in zip(gold, answers, strict=True):
        right += sum(tag == other for tag, other in zip(tags, answer, strict=True))
        total += len(tags)
    return right / total if total else 0.0
