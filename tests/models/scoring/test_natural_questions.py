"""The rule worked out by hand, and held against the official scorer."""

from __future__ import annotations

import random

import natural_questions.eval_utils as official
import natural_questions.nq_eval as scorer
import pytest
from absl import flags

from models.scoring.natural_questions import Judged, Label, Point, best_point, curve, figures, judge_long, judge_short

NOTHING = Label(None, frozenset())
A, B = (5, 90), (100, 120)
"""Two long answers."""


def short(*spans: tuple[int, int], yes_no: str = "NONE", long: tuple[int, int] | None = A) -> Label:
    return Label(long, frozenset(spans), yes_no)


def test_it_takes_two_of_five_for_a_long_answer() -> None:
    one, two = [Label(A, frozenset())] + [NOTHING] * 4, [Label(A, frozenset()), Label(B, frozenset())] + [NOTHING] * 3
    assert judge_long(one, Label(A, frozenset()), 1.0) == Judged(expected=False, given=True, right=False, score=1.0)
    assert judge_long(two, Label(B, frozenset()), 1.0).right  # any annotator's will do
    assert not judge_long(two, Label((5, 91), frozenset()), 1.0).right  # exactly
    assert judge_long(two, NOTHING, 1.0) == Judged(expected=True, given=False, right=False, score=1.0)


def test_short_answers_are_right_as_a_set() -> None:
    golds = [short((7, 9), (12, 13)), short((7, 9))] + [NOTHING] * 3
    assert judge_short(golds, short((12, 13), (7, 9)), 0.0).right
    assert judge_short(golds, short((7, 9)), 0.0).right
    assert not judge_short(golds, short((12, 13)), 0.0).right
    assert not judge_short([golds[0]] + [NOTHING] * 4, short((7, 9), (12, 13)), 0.0).expected


def test_yes_and_no_vote_with_the_short_answers() -> None:
    golds = [short(yes_no="YES"), short((7, 9))] + [NOTHING] * 3
    assert judge_short(golds, short(yes_no="YES"), 0.0) == Judged(expected=True, given=True, right=True, score=0.0)
    assert not judge_short(golds, short(yes_no="NO"), 0.0).right
    assert judge_short(golds, short((7, 9)), 0.0).right


JUDGED = [
    Judged(expected=True, given=True, right=True, score=9.0),
    Judged(expected=False, given=True, right=False, score=8.0),  # an answer where there is none
    Judged(expected=True, given=True, right=True, score=7.0),
    Judged(expected=True, given=False, right=False, score=7.0),
    Judged(expected=True, given=True, right=False, score=1.0),
]


def test_the_curve_and_its_best_point() -> None:
    assert curve(JUDGED) == [
        Point(1.0, 1 / 4, 9.0),
        Point(1 / 2, 1 / 4, 8.0),
        Point(2 / 3, 2 / 4, 7.0),  # both pages with that score
        Point(2 / 4, 2 / 4, 1.0),
    ]
    assert best_point(JUDGED).threshold == 7.0
    out = figures(JUDGED, "long", threshold=8.5)
    assert out["long_best_f1"] == pytest.approx(2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2))
    assert out["long_recall_at_0.5"] == 1 / 2
    assert out["long_recall_at_0.9"] == 1 / 4
    assert (out["long_precision"], out["long_recall"]) == (1.0, 1 / 4)
    assert figures(JUDGED, "long", threshold=10.0)["long_f1"] == 0.0


# ------------------------------------------------------------------------------------------- the official scorer


def spans(draw: random.Random) -> Label:
    """An annotator's or a system's label among a few possible ones, so that they often agree."""
    kind = draw.randrange(5)
    if kind < 2:
        return NOTHING
    long = draw.choice((A, B))
    if kind == 2:
        return Label(long, frozenset())
    if kind == 3:
        return Label(long, frozenset(), draw.choice(("YES", "NO")))
    return Label(long, frozenset((s, s + 2) for s in draw.sample((7, 9, 12), draw.randrange(1, 3))))


def official_label(label: Label, score: float) -> official.NQLabel:
    def span(pair: tuple[int, int] | None) -> official.Span:
        return official.Span(-1, -1, *(pair or (-1, -1)))

    return official.NQLabel(0, span(label.long), [span(s) for s in label.short], label.yes_no.lower(), score, score)


@pytest.mark.parametrize("seed", range(20))
def test_the_figures_are_the_official_ones(seed: int) -> None:
    flags.FLAGS.mark_as_parsed()
    draw = random.Random(seed)
    golds = [[spans(draw) for _ in range(5)] for _ in range(60)]
    answers = [spans(draw) for _ in golds]
    scores = [float(draw.randrange(12)) for _ in golds]  # some of them equal
    expected = scorer.get_metrics_with_answer_stats(
        *scorer.score_answers(
            {i: [official_label(label, 0.0) for label in labels] for i, labels in enumerate(golds)},
            {i: official_label(a, s) for i, (a, s) in enumerate(zip(answers, scores, strict=True))},
        )
    )
    for prefix, judge in (("long", judge_long), ("short", judge_short)):
        found = figures([judge(g, a, s) for g, a, s in zip(golds, answers, scores, strict=True)], prefix)
        for name in ("f1", "precision", "recall"):
            assert found[f"{prefix}_best_{name}"] == pytest.approx(expected[f"{prefix}-best-threshold-{name}"])
        if found[f"{prefix}_best_f1"]:  # where nothing is right the official threshold is 0
            assert found[f"{prefix}_best_threshold"] == expected[f"{prefix}-best-threshold"]
        for precision in (0.5, 0.75, 0.9):
            official_recall = expected[f"{prefix}-recall-at-precision>={precision:.2}"]
            assert found[f"{prefix}_recall_at_{precision}"] == pytest.approx(official_recall)
