from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F
from transformers import BertTokenizer

from models.encoder import TaskModel
from models.tag_head import UNKNOWN
from models.tasks import LabelUtterances
from models.tasks.intent_slots import IntentSlotHead
from models.vocabulary import Vocabulary
from tests.models.small_encoders import save_encoder, save_tokenizer

TASK = LabelUtterances(intents=("buy", "sell"), tags=("B-x", "I-x", "O"))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> BertTokenizer:
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def row(words: str, tags: str | None, intent: str | None, split: str | None = "train") -> dict[str, Any]:
    return {"id": "a:1", "words": words.split(), "tags": tags and tags.split(), "intent": intent, "split": split}


def test_an_utterance_is_one_example(tokenizer: BertTokenizer) -> None:
    (example,) = TASK.encode(row("cutting soup now", "B-x I-x O", "sell"), tokenizer)
    tokens = tokenizer.convert_ids_to_tokens(example["input_ids"].tolist())
    assert tokens == ["[CLS]", "cut", "##ting", "soup", "now", "[SEP]"]
    assert (example["first"].tolist(), example["targets"], example["intent"]) == ([1, 3, 4], [0, 1, 2], 1)


def test_labels_are_learned_of_the_rows() -> None:
    tables = [pa.table({"intent": ["sell", "buy", "a#b"], "tags": [["O"], ["B-x"], ["O", "I-x"]]})]
    assert LabelUtterances().learn(tables) == LabelUtterances(intents=("a#b", "buy", "sell"), tags=("B-x", "I-x", "O"))
    assert LabelUtterances(tags=("O",)).learn(tables).tags == ("O",)
    given = LabelUtterances(intents=("sell", "a#b", "buy"), tags=("O", "I-x", "B-x"))
    assert given.learn(tables) == given, "in the order that they are given in"
    with pytest.raises(ValueError, match="no intents"):
        LabelUtterances().learn([])


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row("", "", "buy"), "the text is empty"),
        (row("a b", "O", "buy"), "2 words, but 1 tags"),
        (row("a", "O", "give"), "the intent 'give' is not among those of the training rows"),
        (row("a", "B-y", "buy", "dev"), "the tag 'B-y' is not among those of the training rows"),
        (row("a", None, "buy"), "it has no intent or no tags"),
        (row("\x00", "O", "buy"), "becomes no wordpiece"),
    ],
)
def test_rows_that_cannot_be_used(bad: dict[str, Any], reason: str, tokenizer: BertTokenizer) -> None:
    with pytest.raises(ValueError, match=reason):
        TASK.encode(bad, tokenizer)


def test_new_labels_in_the_test_split_stay_as_they_are(tokenizer: BertTokenizer) -> None:
    (example,) = TASK.encode(row("a b", "B-new O", "give", "test"), tokenizer)
    assert (example["gold_intent"], example["gold_tags"]) == ("give", ["B-new", "O"])
    assert (example["intent"], example["targets"]) == (UNKNOWN, [UNKNOWN, 2])


def test_figures_by_hand() -> None:
    def judged(intent: str, tags: str, said: str, said_tags: str) -> dict[str, Any]:
        return {"intent": intent, "tags": tags.split(), "predicted_intent": said, "predicted_tags": said_tags.split()}

    rows = [
        judged("buy", "B-x I-x", "buy", "B-x I-x"),  # exact
        judged("buy", "B-x O", "sell", "B-x O"),  # right slots, wrong intent
        judged("sell", "B-x O", "sell", "I-x O"),  # right as conlleval reads it, but not the same tags
        judged("give", "B-new", "buy", "O"),  # an intent and a slot that training never saw
        {**judged("buy", "O", "buy", "O"), "tags": None},  # without gold: not counted
    ]
    figures = TASK.metrics(rows)
    assert figures == {
        "intent_accuracy": pytest.approx(2 / 4),
        "slot_precision": 1.0,
        "slot_recall": pytest.approx(3 / 4),
        "slot_f1": pytest.approx(6 / 7),
        "slot_accuracy": pytest.approx(5 / 7),
        "exact_match": pytest.approx(1 / 4),
    }
    assert TASK.metrics([]) == {}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    save_encoder(folder)
    return folder


def test_the_loss_is_the_sum_of_both_means(encoder: Path, tokenizer: BertTokenizer) -> None:
    task = LabelUtterances(intents=TASK.intents, tags=TASK.tags, slot_weight=0.5)
    rows = [row("cutting soup", "B-x I-x", "sell"), row("a", "O", "buy")]
    batch = task.collate([e for r in rows for e in task.encode(r, tokenizer)], Vocabulary.of(tokenizer))
    assert batch.counts == {"intent": 2.0, "slots": 3.0}
    model = TaskModel.start(encoder, task, seed=0).eval()
    assert isinstance(model.head, IntentSlotHead)
    encoded = model(batch)
    losses = task.loss(model.head, encoded, batch, {"intent": 4.0, "slots": 6.0})  # halves of a larger batch
    intent = F.cross_entropy(model.head.intent(encoded), torch.tensor([1, 0]), reduction="sum")
    firsts = torch.stack([encoded.last_BLD[0, 1], encoded.last_BLD[0, 3], encoded.last_BLD[1, 1]])
    slots = F.cross_entropy(model.head.slots.linear(firsts), torch.tensor([0, 1, 2]), reduction="sum")
    torch.testing.assert_close(losses["intent"], intent / 4)
    torch.testing.assert_close(losses["slots"], slots * 0.5 / 6)


@pytest.mark.parametrize("crf", [False, True])
def test_words_that_do_not_fit_have_no_slot(crf: bool, encoder: Path, tokenizer: BertTokenizer) -> None:
    task = LabelUtterances(intents=TASK.intents, tags=TASK.tags, crf=crf, max_tokens=4)
    rows = [row("a b c d", "B-x I-x I-x I-x", "buy"), row("a", "O", "buy")]
    examples = [e for r in rows for e in task.encode(r, tokenizer)]
    assert examples[0]["targets"] == [0, 1]
    vocabulary = Vocabulary.of(tokenizer)
    batch = task.collate(examples, vocabulary)
    assert batch.counts["slots"] == (2.0 if crf else 3.0)
    model = TaskModel.start(encoder, task, seed=0).eval()
    assert isinstance(model.head, IntentSlotHead)
    assert (model.head.slots.crf is not None) == crf
    answers = task.predict(model.head, model(batch), batch, vocabulary)
    assert [len(a["tagged"]) for a in answers] == [4, 1]
    assert [t["tag"] for t in answers[0]["tagged"][2:]] == ["O", "O"]
    assert answers[0]["predicted_intent"] in task.intents
    assert 0.5 <= answers[0]["probability"] <= 1
