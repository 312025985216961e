from __future__ import annotations

import torch

from models.answer_spans import SpanHead, best_spans
from models.encoder import Encoded


def test_the_best_spans_of_all() -> None:
    start = torch.tensor([[9.0, 1.0, 4.0, 0.0, 3.0, 9.0]])
    end = torch.tensor([[9.0, 2.0, 0.0, 5.0, 1.0, 9.0]])
    limit = torch.tensor([[0, 5, 5, 5, 0, 0]])  # spans start at 1, 2 or 3 and end at 4 at the latest
    spans = best_spans(start, end, limit, max_length=3, n=4)
    found = list(zip(spans.scores_Bn[0].tolist(), spans.starts_Bn[0].tolist(), spans.ends_Bn[0].tolist(), strict=True))
    assert found[0] == (9.0, 2, 3)
    assert found[1] == (6.0, 1, 3)
    assert {f[0] for f in found[2:]} == {5.0}
    assert {f[1:] for f in found[2:]} == {(2, 4), (3, 3)}


def test_too_long_ones_and_those_of_no_passage_have_no_score() -> None:
    start, end = torch.zeros(2, 4), torch.arange(4.0).repeat(2, 1)
    spans = best_spans(start, end, torch.tensor([[0, 4, 0, 0], [0, 0, 0, 0]]), max_length=2, n=3)
    assert spans.scores_Bn.tolist() == [[2.0, 1.0, -torch.inf], [-torch.inf] * 3]
    assert (spans.starts_Bn[0, 0].item(), spans.ends_Bn[0, 0].item()) == (1, 2)


def test_against_every_span() -> None:
    torch.manual_seed(0)
    start, end = torch.randn(3, 17), torch.randn(3, 17)
    limit = torch.randint(0, 18, (3, 17))
    spans = best_spans(start, end, limit, max_length=5, n=17 * 5)
    for b in range(3):
        every = {
            (i, j): float(start[b, i] + end[b, j])
            for i in range(17)
            for j in range(i, min(i + 5, 17, int(limit[b, i])))
        }
        found = {
            (int(i), int(j)): float(s)
            for s, i, j in zip(spans.scores_Bn[b], spans.starts_Bn[b], spans.ends_Bn[b], strict=True)
            if s > -torch.inf
        }
        assert found == every


def test_padding_is_no_position() -> None:
    head = SpanHead(4)
    encoded = Encoded(torch.randn(1, 3, 4), (), None, None)
    start, end = head(encoded, torch.tensor([[1, 1, 0]]))
    assert start.isfinite().tolist() == end.isfinite().tolist() == [[True, True, False]]
