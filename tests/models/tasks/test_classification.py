from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.encoder import TaskModel
from models.tasks import ClassifyText, ScoreText
from models.vocabulary import Vocabulary
from tests.models.small_encoders import save_encoder, save_tokenizer

LABELS = ("cut", "serve", "stir")


@pytest.fixture
def tokenizer(tmp_path: Path):
    return save_tokenizer(tmp_path)


def words(tokenizer, example: dict) -> str:
    return " ".join(tokenizer.convert_ids_to_tokens(example["input_ids"]))


def test_one_text_or_two(tokenizer) -> None:
    task = ClassifyText(labels=LABELS)
    (one,) = task.encode({"id": "a:1", "text": "stir the soup", "label": "stir", "split": "train"}, tokenizer)
    assert words(tokenizer, one) == "[CLS] stir the soup [SEP]"
    assert (one["id"], one["label"], one["gold"], one["length"]) == ("a:1", 2, "stir", 5)
    row = {"text": "stir the soup", "second": "now", "label": "cut", "split": "train"}
    (two,) = task.encode(row, tokenizer)
    assert words(tokenizer, two) == "[CLS] stir the soup [SEP] now [SEP]"
    assert two["token_type_ids"] == [0, 0, 0, 0, 0, 1, 1]
    (turned,) = ClassifyText(labels=LABELS, second_first=True).encode(row, tokenizer)
    assert words(tokenizer, turned) == "[CLS] now [SEP] stir the soup [SEP]"


def test_the_longer_text_is_cut_at_its_end(tokenizer) -> None:
    task = ClassifyText(labels=LABELS, max_tokens=9)
    (example,) = task.encode({"text": "a b c d e f g h", "second": "stir now"}, tokenizer)
    assert words(tokenizer, example) == "[CLS] a b c d [SEP] stir now [SEP]"


def test_special_tokens_in_a_text_are_text(tokenizer) -> None:
    (example,) = ClassifyText(labels=LABELS).encode({"text": "[SEP]"}, tokenizer)
    assert words(tokenizer, example) == "[CLS] [ s ##e ##p ] [SEP]"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"text": "soup", "label": "fry", "split": "train"}, "the label 'fry' is none of cut, serve, stir"),
        ({"text": "soup", "label": None, "split": "dev"}, "the label None is none of"),
        ({"text": " ", "label": "cut", "split": "train"}, "the text ' ' has no wordpiece"),
        ({"text": "soup", "second": "", "label": "cut", "split": "train"}, "the second text '' has no wordpiece"),
    ],
)
def test_rows_that_cannot_be_used(tokenizer, row: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ClassifyText(labels=LABELS).encode(row, tokenizer)


def test_what_is_wrong_with_a_pair_is_said_of_its_column(tokenizer) -> None:
    for second_first in (False, True):
        with pytest.raises(ValueError, match=r"^the second text ' ' has no wordpiece"):
            ClassifyText(second_first=second_first).encode({"text": "soup", "second": " "}, tokenizer)
        with pytest.raises(ValueError, match=r"^the text ' ' has no wordpiece"):
            ClassifyText(second_first=second_first).encode({"text": " ", "second": "soup"}, tokenizer)


def test_new_rows_may_write_their_label_as_a_number(tokenizer) -> None:
    (example,) = ClassifyText(labels=("0", "1")).encode({"text": "soup", "label": 1}, tokenizer)
    assert (example["label"], example["gold"]) == (1, "1")
    (example,) = ScoreText().encode({"text": "soup", "label": 2.5}, tokenizer)
    assert (example["score"], example["gold"]) == (2.5, "2.5")


def test_labels_are_learned_in_order() -> None:
    tables = [pa.table({"label": labels}) for labels in (["stir", "cut", None], ["stir", "serve"])]
    assert ClassifyText().learn(tables).labels == LABELS
    assert ClassifyText(labels=("b", "a")).learn(tables).labels == ("b", "a")
    with pytest.raises(ValueError, match="1 different labels"):
        ClassifyText().learn([pa.table({"label": ["x", "x"]})])


def test_an_unseen_test_label_stays_and_is_wrong(tokenizer) -> None:
    (example,) = ClassifyText(labels=LABELS).encode({"text": "soup", "label": "fry", "split": "test"}, tokenizer)
    assert (example["label"], example["gold"]) == (-1, "fry")
    rows = [{"gold": "fry", "predicted": "cut"}, {"gold": "cut", "predicted": "cut"}]
    assert ClassifyText(labels=LABELS).metrics(rows)["accuracy"] == 0.5


def test_figures_of_glue() -> None:
    rows = [{"gold": g, "predicted": p} for g, p in zip("11100000", "11010000", strict=True)]
    rows.append({"gold": None, "predicted": "1"})
    assert ClassifyText(labels=("0", "1")).metrics(rows)["accuracy"] == 6 / 8
    assert ClassifyText(labels=("0", "1"), figure="matthews").metrics(rows)["matthews"] == pytest.approx(7 / 15)
    assert ClassifyText(labels=("0", "1"), figure="f1").metrics(rows)["f1"] == pytest.approx(2 / 3)
    assert ClassifyText().metrics([{"gold": None, "predicted": "1"}]) == {}


def model_and_batch(folder: Path, task, rows: list[dict], kind: str = "bert"):
    save_encoder(folder, kind)
    model = TaskModel.start(folder, task, seed=3).eval()
    tokenizer = save_tokenizer(folder / "tokenizer")
    examples = [e for row in rows for e in task.encode(row, tokenizer)]
    examples = [{k: np.array(v) if isinstance(v, list) else v for k, v in e.items()} for e in examples]
    vocabulary = Vocabulary.of(tokenizer)
    return model, task.collate(examples, vocabulary), vocabulary


ROWS = [
    {"id": "1", "text": "stir the soup", "label": "stir", "split": "train"},
    {"id": "2", "text": "cut", "second": "now", "label": "cut", "split": "train"},
    {"id": "3", "text": "the soup now", "label": "serve", "split": "train"},
]


@pytest.mark.parametrize("kind", ["bert", "distilbert", "electra"])
def test_loss_is_the_mean_over_the_global_batch_and_probabilities_are_readable(tmp_path: Path, kind: str) -> None:
    task = ClassifyText(labels=LABELS)
    model, batch, vocabulary = model_and_batch(tmp_path, task, ROWS, kind)
    with torch.no_grad():
        encoded = model(batch)
        loss = task.loss(model.head, encoded, batch, {"loss": 6.0})["loss"]
        answers = task.predict(model.head, encoded, batch, vocabulary)
        logits = model.head(encoded)
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([2, 0, 1]), reduction="mean") * 3 / 6
    torch.testing.assert_close(loss, expected)
    assert batch.counts == {"loss": 3}
    for answer, row in zip(answers, ROWS, strict=True):
        ranked = [p["probability"] for p in answer["probabilities"]]
        assert answer["id"] == row["id"]
        assert answer["predicted"] == answer["probabilities"][0]["label"]
        assert ranked == sorted(ranked, reverse=True)
        assert sum(ranked) == pytest.approx(1, abs=1e-3)


def test_regression_is_the_squared_error(tmp_path: Path) -> None:
    task = ScoreText()
    rows = [{"id": "1", "text": "stir", "label": "5.000", "split": "train"}, {"text": "cut", "label": "2.5"}]
    model, batch, vocabulary = model_and_batch(tmp_path, task, rows)
    with torch.no_grad():
        encoded = model(batch)
        loss = task.loss(model.head, encoded, batch, {"loss": 2.0})["loss"]
        answers = task.predict(model.head, encoded, batch, vocabulary)
    a, b = (answer["score"] for answer in answers)
    assert float(loss) == pytest.approx(((a - 5) ** 2 + (b - 2.5) ** 2) / 2, rel=1e-3)
    assert task.metrics(task.evaluate(model.head, encoded, batch, vocabulary)).keys() == {"pearson", "spearman"}


@pytest.mark.parametrize("label", ["high", None, "nan"])
def test_what_is_no_number_is_refused(tokenizer, label: str | None) -> None:
    with pytest.raises(ValueError, match="number"):
        ScoreText().encode({"text": "soup", "label": label, "split": "train"}, tokenizer)
    assert ScoreText().encode({"text": "soup"}, tokenizer)[0]["gold"] is None


def test_dropout_is_the_tasks_where_it_says(tmp_path: Path) -> None:
    save_encoder(tmp_path)
    assert TaskModel.start(tmp_path, ClassifyText(labels=LABELS), 0).head.dropout.p == 0.1
    assert TaskModel.start(tmp_path, ClassifyText(labels=LABELS, dropout=0.3), 0).head.dropout.p == 0.3
