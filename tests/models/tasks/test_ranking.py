import math
from pathlib import Path

import pytest
import torch

from models.encoder import Encoded
from models.tasks import RankCandidates
from tests.models.small_encoders import save_tokenizer
from tests.models.tasks.test_classification import model_and_batch, words

TASK = RankCandidates()
ROWS = [
    {"id": "1", "text": "stir", "candidates": ["the soup", "now", "cut"], "relevant": [1, 0, 0], "split": "train"},
    {"id": "2", "text": "cut", "candidates": ["now", "the soup"], "relevant": [0, 1], "split": "train"},
]


def test_every_candidate_stands_before_the_question(tmp_path: Path) -> None:
    tokenizer = save_tokenizer(tmp_path)
    (example,) = TASK.encode(ROWS[0], tokenizer)
    expected = "[CLS] the soup [SEP] stir [SEP] [CLS] now [SEP] stir [SEP] [CLS] cut [SEP] stir [SEP]"
    assert words(tokenizer, example) == expected
    assert (example["ends"], example["relevant"], example["length"]) == ([6, 11, 16], [1, 0, 0], 18)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"candidates": []}, "no candidates"),
        ({"relevant": [1, 0]}, "3 candidates, but 'relevant' has 2 values"),
        ({"relevant": None}, "is not said"),
        ({"relevant": [0, 0, 0]}, "none of the candidates is relevant"),
        ({"relevant": [1, 1, 1]}, "all candidates are relevant"),
    ],
)
def test_questions_that_teach_nothing_are_refused(tmp_path: Path, change: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        TASK.encode({**ROWS[0], **change}, save_tokenizer(tmp_path))


class Given(torch.nn.Module):
    """A head whose scores are given."""

    def __init__(self, *scores: float) -> None:
        super().__init__()
        self.scores = torch.tensor(scores)

    def forward(self, encoded: Encoded) -> torch.Tensor:
        return self.scores.unsqueeze(-1)


def test_loss_and_ranks_by_hand(tmp_path: Path) -> None:
    rows = [ROWS[0], {**ROWS[1], "candidates": ["a", "b", "c"], "relevant": [1, 1, 0]}]
    model, batch, vocabulary = model_and_batch(tmp_path, TASK, rows)
    head = Given(math.log(2), math.log(3), math.log(5), math.log(4), math.log(6), math.log(2))
    encoded = model(batch)
    assert batch.counts == {"loss": 3}
    # 2 of 2 + 3 + 5; 4 of 4 + 2; 6 of 6 + 2: a relevant candidate does not compete with another one.
    expected = -(math.log(2 / 10) + math.log(4 / 6) + math.log(6 / 8)) / 3
    assert float(TASK.loss(head, encoded, batch, {"loss": 3.0})["loss"]) == pytest.approx(expected)
    found = TASK.evaluate(head, encoded, batch, vocabulary)
    # Of the first question the third candidate is held to be relevant and is not; of the other all but a.
    assert found == [{"rank": 3, "pairs": 3, "right": 1}, {"rank": 1, "pairs": 3, "right": 2}]
    assert TASK.metrics(found) == {"accuracy": 3 / 6, "first_is_relevant": 0.5, "mrr": (1 / 3 + 1) / 2}
    first, second = TASK.predict(head, encoded, batch, vocabulary)
    assert [r["candidate"] for r in first["ranking"]] == [2, 1, 0]
    assert [r["probability"] for r in first["ranking"]] == [0.5, 0.3, 0.2]
    assert [r["candidate"] for r in second["ranking"]] == [1, 0, 2]


def test_questions_with_fewer_candidates_are_not_filled_up(tmp_path: Path) -> None:
    model, batch, vocabulary = model_and_batch(tmp_path, TASK, ROWS)
    answers = TASK.predict(model.head, model(batch), batch, vocabulary)
    assert [len(a["ranking"]) for a in answers] == [3, 2]
    assert sum(r["probability"] for r in answers[1]["ranking"]) == pytest.approx(1, abs=1e-3)
    loss = TASK.loss(model.head, model(batch), batch, {"loss": 2.0})["loss"]
    loss.backward()
    assert torch.isfinite(model.head.linear.weight.grad).all()


def test_equal_scores_are_no_success(tmp_path: Path) -> None:
    model, batch, vocabulary = model_and_batch(tmp_path, TASK, ROWS[1:])
    assert TASK.evaluate(Given(1.0, 1.0), model(batch), batch, vocabulary) == [{"rank": 2, "pairs": 2, "right": 0}]


def test_questions_without_a_choice_count_as_pairs_alone(tmp_path: Path) -> None:
    """On QNLI's dev split many questions have one candidate."""
    rows = [
        {"id": "1", "text": "stir", "candidates": ["soup"], "relevant": [1], "split": "dev"},
        {"id": "2", "text": "cut", "candidates": ["soup"], "relevant": [0], "split": "dev"},
        {"id": "3", "text": "cut", "candidates": ["soup"], "split": "test"},
        {"id": "4", "text": "now", "candidates": ["soup", "cafe"], "relevant": [0, 1], "split": "dev"},
    ]
    model, batch, vocabulary = model_and_batch(tmp_path, TASK, rows)
    found = TASK.evaluate(Given(9.0, 9.0, 9.0, 1.0, 2.0), model(batch), batch, vocabulary)
    assert [(row["rank"], row["pairs"], row["right"]) for row in found] == [
        (None, 1, 1),
        (None, 1, 0),
        (None, 0, 0),
        (1, 2, 2),
    ]
    assert TASK.metrics(found) == {"accuracy": 3 / 4, "first_is_relevant": 1.0, "mrr": 1.0}
    assert TASK.metrics(found[:1]) == {"accuracy": 1.0}
    assert TASK.metrics(found[2:3]) == {}
