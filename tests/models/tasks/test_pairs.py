from pathlib import Path

import pytest
import torch

from models.tasks import ClassifyPairs
from models.tasks.pairs import StochasticAnswer
from tests.models.small_encoders import save_tokenizer
from tests.models.tasks.test_classification import model_and_batch, words

TASK = ClassifyPairs(labels=("no", "yes"))
ROWS = [
    {"id": "1", "text": "stir the soup now", "second": "stir", "label": "yes", "split": "train"},
    {"id": "2", "text": "cut", "second": "the soup", "label": "no", "split": "train"},
]


def test_the_hypothesis_stands_first(tmp_path: Path) -> None:
    tokenizer = save_tokenizer(tmp_path)
    (example,) = TASK.encode(ROWS[0], tokenizer)
    assert words(tokenizer, example) == "[CLS] stir [SEP] stir the soup now [SEP]"
    with pytest.raises(ValueError, match="no second text"):
        TASK.encode({**ROWS[0], "second": None}, tokenizer)


def test_answers_are_those_of_the_network_on_the_two_segments(tmp_path: Path) -> None:
    model, batch, vocabulary = model_and_batch(tmp_path, TASK, ROWS)
    assert isinstance(model.head, StochasticAnswer)
    assert (model.head.turns, model.head.drop_turns) == (5, 0.1)
    with torch.no_grad():
        encoded = model(batch)
        answers = TASK.predict(model.head, encoded, batch, vocabulary)
        hypothesis = torch.tensor([[1, 1, 1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0]], dtype=torch.bool)
        premise = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 0, 0]], dtype=torch.bool)
        expected = model.head(encoded.last_BLD, hypothesis, premise)
        loss = TASK.loss(model.head, encoded, batch, {"loss": 2.0})["loss"]
    for answer, row in zip(answers, expected.exp().tolist(), strict=True):
        assert answer["probability"] == pytest.approx(max(row), abs=1e-4)
    assert float(loss) == pytest.approx(-float(expected[0, 1] + expected[1, 0]) / 2)
