import math

import pytest
import torch

from models.stochastic_answer import StochasticAnswer, mean_answer


def test_the_answer_is_the_mean_of_the_turns_probabilities() -> None:
    turns = torch.tensor([[[0.9, 0.1]], [[0.5, 0.5]], [[0.1, 0.9]], [[0.7, 0.3]], [[0.3, 0.7]]])
    everything = mean_answer(turns.log(), torch.ones(5, 1, dtype=torch.bool))
    torch.testing.assert_close(everything.exp(), torch.tensor([[0.5, 0.5]]))
    some = mean_answer(turns.log(), torch.tensor([[True], [False], [False], [True], [False]]))
    torch.testing.assert_close(some.exp(), torch.tensor([[0.8, 0.2]]))


def test_the_references_scaling_gives_the_same_loss() -> None:
    """It multiplies what is kept by 1 / (1 - p), divides by all turns, and its cross-entropy normalises the result."""
    turns = torch.tensor([[[0.9, 0.1]], [[0.5, 0.5]], [[0.1, 0.9]]])
    kept = torch.tensor([[True], [True], [False]])
    reference = ((turns * kept.unsqueeze(-1) / 0.9).sum(0) / 3).log()
    expected = torch.nn.functional.cross_entropy(reference, torch.tensor([0]))
    assert float(-mean_answer(turns.log(), kept)[0, 0]) == pytest.approx(float(expected))


def by_hand() -> StochasticAnswer:
    """Width 2: uniform attention of the hypothesis, the state itself as the question, one logit from x[0] - x[1]."""
    network = StochasticAnswer(2, 2, turns=2, drop_turns=0.1, dropout=0.1).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.attention.weight.copy_(torch.eye(2))
        network.answer.weight[0, 2:4] = torch.tensor([1.0, -1.0])
    return network


def test_two_turns_worked_out_by_hand() -> None:
    hypothesis = torch.tensor([[2.0, 0.0], [0.0, 0.0]])  # mean: (1, 0)
    premise = torch.tensor([[math.log(3.0), 0.0], [0.0, 1.0]])
    states = torch.cat([hypothesis, premise, torch.tensor([[9.0, 9.0]])]).unsqueeze(0)
    is_hypothesis = torch.tensor([[True, True, False, False, False]])
    is_premise = torch.tensor([[False, False, True, True, False]])
    turns = by_hand().answer_turns(states, is_hypothesis, is_premise)
    # Turn 1: scores (log 3, 0), weights (3/4, 1/4), x = (3/4 log 3, 1/4).
    first = 0.75 * math.log(3.0) - 0.25
    # The GRU without weights halves the state: (1/2, 0). Turn 2: scores (log 3 / 2, 0), weights sqrt(3) : 1.
    share = math.sqrt(3) / (1 + math.sqrt(3))
    second = share * math.log(3.0) - (1 - share)
    expected = torch.tensor([first, second]).sigmoid()
    torch.testing.assert_close(turns[:, 0, 0].exp(), expected)
    whole = by_hand()(states, is_hypothesis, is_premise)
    torch.testing.assert_close(whole[0, 0].exp(), expected.mean())


def test_the_summary_and_the_comparison_worked_out_by_hand() -> None:
    """The hypothesis weighed by its first component, the premise uniformly; one logit from s[1], |s - x| and s * x."""
    network = by_hand()
    with torch.no_grad():
        network.summary.weight[0, 0] = 1.0
        network.attention.weight.zero_()
        network.answer.weight[0] = torch.tensor([0.0, 1.0, 0.0, 0.0, 1.0, 1.0, -1.0, 2.0])
    log3 = math.log(3.0)
    states = torch.tensor([[[log3, 0.0], [0.0, 4.0], [1.0, 0.0], [3.0, 1.0]]])
    is_hypothesis = torch.tensor([[True, True, False, False]])
    turns = network.answer_turns(states, is_hypothesis, ~is_hypothesis)
    # Weights (3/4, 1/4): s = (3/4 log 3, 1), below x = (2, 1/2) in one component and above it in the other.
    first = 1 + (2 - 0.75 * log3) + 0.5 - 1.5 * log3 + 2 * 0.5
    # The GRU without weights halves the state: (3/8 log 3, 1/2).
    second = 0.5 + (2 - 0.375 * log3) + 0.0 - 0.75 * log3 + 2 * 0.25
    torch.testing.assert_close(turns[:, 0, 0].exp(), torch.tensor([first, second]).sigmoid())


def test_training_drops_turns_but_never_all() -> None:
    network = StochasticAnswer(4, 3, turns=5, drop_turns=0.1, dropout=0.1)
    torch.manual_seed(0)
    kept = network.keep_turns(20_000, torch.device("cpu"))
    # One turn of five is kept for certain, the others with 0.9.
    assert float(kept.float().mean()) == pytest.approx((1 + 4 * 0.9) / 5, abs=0.005)
    network.drop_turns = 0.99
    assert network.keep_turns(1000, torch.device("cpu")).any(0).all()
    assert network.eval().keep_turns(10, torch.device("cpu")).all()


def test_padding_and_other_pairs_change_nothing() -> None:
    torch.manual_seed(0)
    network = StochasticAnswer(4, 3, turns=5, drop_turns=0.1, dropout=0.1).eval()
    states = torch.randn(2, 6, 4)
    hypothesis = torch.tensor([[1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0]], dtype=torch.bool)
    premise = torch.tensor([[0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1]], dtype=torch.bool)
    both = network(states, hypothesis, premise)
    alone = network(states[:1, :4], hypothesis[:1, :4], premise[:1, :4])
    torch.testing.assert_close(both[:1], alone)
    assert both.exp().sum(-1).tolist() == pytest.approx([1, 1])
