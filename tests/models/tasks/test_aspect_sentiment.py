from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from transformers import BertTokenizer

from models.encoder import Encoded, TaskModel
from models.scoring.aspects import SEMEVAL, SENTIHOOD
from models.tasks import JudgeAspects
from models.tasks.aspect_sentiment import Form, auxiliary_sentence
from models.vocabulary import Vocabulary
from tests.models.small_encoders import save_encoder, save_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> BertTokenizer:
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def row(label: str | None = "Positive", split: str | None = "train", **more: Any) -> dict[str, Any]:
    names = {"id": "a:1", "text": "the soup", "target": "cafe", "aspect": "stir"}
    return {**names, "label": label, "split": split, **more}


@pytest.mark.parametrize(
    ("form", "target", "sentence"),
    [
        ("QA-M", "location - 1", "what do you think of the safety of location - 1 ?"),
        ("NLI-M", "location - 1", "location - 1 - safety"),
        ("QA-B", "location - 1", "the polarity of the aspect safety of location - 1 is Positive ."),
        ("NLI-B", "location - 1", "Positive - location - 1 - safety"),
        ("QA-M", None, "what do you think of the safety of it ?"),
        ("NLI-M", None, "safety"),
        ("QA-B", None, "the polarity of the aspect safety is Positive ."),
        ("NLI-B", None, "Positive - safety"),
    ],
)
def test_auxiliary_sentences(form: Form, target: str | None, sentence: str) -> None:
    assert auxiliary_sentence(form, "safety", target, "Positive") == sentence


def test_the_authors_code_writes_a_dash_more() -> None:
    sentence = "the polarity of the aspect safety of location - 1 - is Positive ."
    assert auxiliary_sentence("QA-B", "safety", "location - 1", "Positive", faithful=True) == sentence
    assert auxiliary_sentence("QA-B", "safety", None, "none", faithful=True) == (
        "the polarity of the aspect safety is none ."
    )


def test_one_example_has_the_text_first(tokenizer: BertTokenizer) -> None:
    (example,) = JudgeAspects(form="NLI-M", labels=SENTIHOOD).encode(row(), tokenizer)
    tokens = tokenizer.convert_ids_to_tokens(example["input_ids"])
    assert " ".join(tokens) == "[CLS] the soup [SEP] cafe - stir [SEP]"
    assert example["token_type_ids"] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert (example["class"], example["window"]) == (1, 0)


def test_an_example_a_label_has_the_auxiliary_sentence_first(tokenizer: BertTokenizer) -> None:
    examples = JudgeAspects(form="NLI-B", labels=SENTIHOOD).encode(row(), tokenizer)
    tokens = [" ".join(tokenizer.convert_ids_to_tokens(e["input_ids"])) for e in examples]
    assert tokens[0] == "[CLS] n ##o ##n ##e - cafe - stir [SEP] the soup [SEP]"
    assert [t.split()[1] for t in tokens] == ["n", "p", "n"]
    assert [(e["class"], e["window"]) for e in examples] == [(0, 0), (1, 1), (0, 2)]
    assert examples[0]["token_type_ids"][-3:] == [1, 1, 1]


def test_an_example_is_written_as_the_authors_code_does_if_asked_for(tokenizer: BertTokenizer) -> None:
    def shown(faithful: bool) -> str:
        task = JudgeAspects(form="QA-B", labels=SENTIHOOD, faithful=faithful)
        return " ".join(tokenizer.convert_ids_to_tokens(task.encode(row(), tokenizer)[0]["input_ids"]))

    assert " cafe i ##s " in shown(faithful=False)
    assert shown(faithful=True) == shown(faithful=False).replace(" cafe i ##s ", " cafe - i ##s ")


def test_the_longer_text_is_cut(tokenizer: BertTokenizer) -> None:
    (example,) = JudgeAspects(labels=SENTIHOOD, max_tokens=10).encode(row(text="the soup " * 20), tokenizer)
    assert " ".join(tokenizer.convert_ids_to_tokens(example["input_ids"])).endswith("[SEP] cafe - stir [SEP]")
    assert example["length"] == 10


def test_the_labels_tell_the_data() -> None:
    def learned(*labels: str | None) -> tuple[str, ...]:
        return JudgeAspects().learn([pa.table({"label": pa.array(labels, pa.string())})]).labels

    assert learned("Positive", "None") == SENTIHOOD
    assert learned("negative", None) == SEMEVAL
    with pytest.raises(ValueError, match="the labels must be of"):
        learned("positive", "Negative")
    with pytest.raises(ValueError, match="labels must be"):
        JudgeAspects(labels=("good", "bad"))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row("positive"), "the label 'positive' is none of None, Positive, Negative"),
        (row("positive", "test"), "the label 'positive' is none of"),
        (row(None), "the label None is none of"),
        (row(aspect=""), "the aspect is empty"),
        (row(text=" "), "the text ' ' has no wordpiece"),
    ],
)
def test_rows_that_cannot_be_used(bad: dict[str, Any], reason: str, tokenizer: BertTokenizer) -> None:
    with pytest.raises(ValueError, match=reason):
        JudgeAspects(labels=SENTIHOOD).encode(bad, tokenizer)


def test_the_likeliest_of_the_binary_scores_wins() -> None:
    task = JudgeAspects(form="QA-B", labels=SENTIHOOD)
    names = {"id": "a:1", "target": "cafe", "aspect": "stir"}
    windows = [{**names, "scores": [score]} for score in (0.2, 0.6, 0.8)]
    assert task.join(windows) == {
        **names,
        "predicted": "Negative",
        "probability": 0.5,
        "probabilities": [
            {"label": "Negative", "probability": 0.5},
            {"label": "Positive", "probability": 0.375},
            {"label": "None", "probability": 0.125},
        ],
    }
    judged = task.join([{**w, "label": "Negative"} for w in windows])
    assert judged["scores"] == pytest.approx({"None": 0.125, "Positive": 0.375, "Negative": 0.5})
    assert task.metrics([judged])["aspect_strict_accuracy"] == 1.0


class Given(torch.nn.Module):
    """A head whose logits are given."""

    def __init__(self, *shares: tuple[float, ...]) -> None:
        super().__init__()
        self.logits = torch.tensor(shares).log()

    def forward(self, encoded: Encoded) -> torch.Tensor:
        return self.logits


@pytest.mark.parametrize(
    ("form", "shares", "expected"),
    [
        # Whether it is false or true that there is none, that it is positive, negative: of the second .2 + .6 + .8.
        ("NLI-B", [(0.8, 0.2), (0.4, 0.6), (0.2, 0.8)], (0.125, 0.375, 0.5)),
        ("QA-B", [(0.8, 0.2), (0.4, 0.6), (0.2, 0.8)], (0.125, 0.375, 0.5)),
        ("NLI-M", [(0.125, 0.375, 0.5)], (0.125, 0.375, 0.5)),
    ],
)
def test_what_a_model_says_of_a_label_is_that_it_is_true(
    form: Form, shares: list[tuple[float, ...]], expected: tuple[float, ...], tokenizer: BertTokenizer
) -> None:
    task, vocabulary = JudgeAspects(form=form, labels=SENTIHOOD), Vocabulary.of(tokenizer)
    batch = task.collate(task.encode(row("Negative"), tokenizer), vocabulary)
    head, nothing = Given(*shares), Encoded(torch.zeros(1), (), None, None)
    answer = task.join(task.predict(head, nothing, batch, vocabulary))
    assert [(p["label"], p["probability"]) for p in answer["probabilities"]] == [
        ("Negative", expected[2]),
        ("Positive", expected[1]),
        ("None", expected[0]),
    ]
    judged = task.join(task.evaluate(head, nothing, batch, vocabulary))
    assert judged["scores"] == pytest.approx(dict(zip(SENTIHOOD, expected, strict=True)))
    wanted = [0.8, 0.4, 0.8] if task.binary else [0.5]
    loss = float(task.loss(head, nothing, batch, {"loss": 1.0})["loss"])
    assert loss == pytest.approx(-sum(map(math.log, wanted)))


def test_figures_are_the_datas_own() -> None:
    judged = {"id": "a:1", "target": None, "aspect": "food", "label": "none"}
    semeval = JudgeAspects(labels=SEMEVAL).metrics([{**judged, "scores": dict.fromkeys(SEMEVAL, 0.2)}])
    assert set(semeval) >= {"aspect_f1", "sentiment_accuracy_4"}
    assert JudgeAspects(labels=SEMEVAL).metrics([{**judged, "label": None}]) == {}


@pytest.mark.parametrize("form", ["QA-M", "NLI-B"])
def test_a_model_answers_every_row(form: Form, tmp_path: Path) -> None:
    save_encoder(tmp_path)
    tokenizer = save_tokenizer(tmp_path)
    vocabulary = Vocabulary.of(tokenizer)
    task = JudgeAspects(form=form, labels=SENTIHOOD)
    batch = task.collate(task.encode(row(), tokenizer), vocabulary)
    model = TaskModel.start(tmp_path, task, seed=0).eval()
    encoded = model(batch)
    assert task.loss(model.head, encoded, batch, batch.counts)["loss"].item() > 0
    answer = task.join(task.predict(model.head, encoded, batch, vocabulary))
    assert answer["predicted"] in SENTIHOOD
    assert sum(p["probability"] for p in answer["probabilities"]) == pytest.approx(1, abs=1e-3)
    assert task.join(task.evaluate(model.head, encoded, batch, vocabulary))["label"] == "Positive"
