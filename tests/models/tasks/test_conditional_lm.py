from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoTokenizer

from models.encoder import TaskModel
from models.tasks import ConditionalLM
from models.tasks.task import Batch
from models.vocabulary import Vocabulary
from tests.models.small_encoders import save_encoder, save_roberta

TASK = ConditionalLM(labels=("good", "bad", "ugly"))
TEXT = "stir the soup now , cut the soup now , stir the soup"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    save_encoder(folder)
    return folder


@pytest.fixture(scope="module")
def vocabulary(directory: Path) -> Vocabulary:
    return Vocabulary.of(AutoTokenizer.from_pretrained(str(directory)))


def example(vocabulary: Vocabulary, label: str = "bad", text: str = TEXT, task: ConditionalLM = TASK) -> dict[str, Any]:
    (found,) = task.encode({"id": "r", "text": text, "label": label, "split": "train"}, vocabulary.tokenizer)
    return found


def test_labels_are_learned_and_an_unknown_one_is_refused(vocabulary: Vocabulary) -> None:
    tables = [pa.table({"label": ["b", None, "a"]}), pa.table({"label": ["b"]})]
    assert ConditionalLM().learn(tables).labels == ("a", "b")
    with pytest.raises(ValueError, match="'great' is none of good, bad, ugly"):
        example(vocabulary, "great")
    with pytest.raises(ValueError, match="empty"):
        example(vocabulary, text=" ")
    with pytest.raises(ValueError, match="two or more"):
        ConditionalLM().learn(tables[1:])


def test_masks_are_drawn_anew_and_never_on_cls_or_sep(vocabulary: Vocabulary) -> None:
    rows = [example(vocabulary)]
    draws = [TASK.draw(rows, 0, np.random.default_rng(i), vocabulary) for i in range(300)]
    n = round(0.15 * (len(rows[0]["input_ids"]) - 2))
    assert {len(d["targets"]) for d in draws} == {n}
    places = np.bincount(np.concatenate([d["positions"] for d in draws]), minlength=len(rows[0]["input_ids"]))
    assert places[[0, -1]].tolist() == [0, 0]
    assert (places[1:-1] > 0).all()
    masked = np.mean([d["input_ids"][d["positions"]] == vocabulary.mask for d in draws])
    assert masked == pytest.approx(0.8, abs=0.05)
    assert TASK.draw([example(vocabulary, text="stir")], 0, np.random.default_rng(0), vocabulary)["positions"] == [1]
    many = TASK.draw([example(vocabulary, text=TEXT * 4)], 0, np.random.default_rng(0), vocabulary)
    assert len(many["targets"]) == round(0.15 * (len(many["input_ids"]) - 2))
    few = replace(TASK, most_masks=3)
    assert len(few.draw([example(vocabulary, text=TEXT * 4)], 0, np.random.default_rng(0), vocabulary)["targets"]) == 3


def test_the_reference_masks_the_same_places_in_every_epoch(vocabulary: Vocabulary) -> None:
    task = replace(TASK, faithful=True)
    rows = [example(vocabulary)]
    draws = [task.draw(rows, 0, np.random.default_rng(i), vocabulary) for i in range(20)]
    assert all((d["input_ids"] == draws[0]["input_ids"]).all() for d in draws)


def test_the_reference_counts_cls_and_sep_when_it_takes_a_share(vocabulary: Vocabulary) -> None:
    rows = [example(vocabulary, text="soup " * 8)]
    ours, theirs = (
        len(replace(TASK, faithful=f).draw(rows, 0, np.random.default_rng(0), vocabulary)["targets"])
        for f in (False, True)
    )
    assert (ours, theirs) == (1, 2)  # .15 of 8 and of 10


def test_a_random_word_is_of_the_same_sentence_for_the_reference(vocabulary: Vocabulary) -> None:
    task = replace(TASK, mask_probability=1.0, most_masks=62)
    rows = [example(vocabulary, text="soup " * 62, task=task)]
    soup = rows[0]["input_ids"][1]
    ours, theirs = (
        set(replace(task, faithful=f).draw(rows, 0, np.random.default_rng(0), vocabulary)["input_ids"][1:-1].tolist())
        for f in (False, True)
    )
    assert theirs == {vocabulary.mask, soup}
    assert ours > theirs


def test_every_position_has_its_label(vocabulary: Vocabulary) -> None:
    batch = TASK.collate([example(vocabulary, "ugly"), example(vocabulary, "good", "stir")], vocabulary)
    assert (batch.token_type_ids_BL == torch.tensor([[2], [0]])).all()


def test_labels_take_the_place_of_segments(directory: Path, tmp_path: Path) -> None:
    before = TaskModel.start(directory, ConditionalLM(labels=("a", "b")), seed=0)
    two = before.encoder.embeddings.token_type_embeddings.weight
    model = TaskModel.start(directory, TASK, seed=0)
    rows = model.encoder.embeddings.token_type_embeddings.weight
    assert rows.shape[0] == model.pretrained.config.type_vocab_size == 3
    assert 0.01 < (rows - two[0]).std().item() < 0.03, "around segment A's"
    assert two.shape[0] == 2, "two labels take the two segments as they are"
    model.save(tmp_path)
    again = TaskModel.load(tmp_path)
    assert torch.equal(again.encoder.embeddings.token_type_embeddings.weight, rows)
    other = TaskModel.start(directory, TASK, seed=1).encoder.embeddings.token_type_embeddings.weight
    assert not torch.equal(other, rows)
    noise = TaskModel.start(directory, replace(TASK, faithful=True), seed=0).encoder.embeddings.token_type_embeddings
    torch.testing.assert_close(noise.weight, rows - two[0])  # the same noise, around nothing


def test_an_encoder_without_segments_is_refused(tmp_path: Path) -> None:
    save_encoder(tmp_path, "distilbert")
    with pytest.raises(ValueError, match="distilbert has no segment embeddings"):
        TaskModel.start(tmp_path, TASK, seed=0)


def test_words_must_be_told_from_pieces_of_words(tmp_path: Path, vocabulary: Vocabulary) -> None:
    TASK.check(vocabulary.tokenizer)
    with pytest.raises(ValueError, match="WordPiece tells from pieces of words"):
        TASK.check(save_roberta(tmp_path))


def logits(model: TaskModel, vocabulary: Vocabulary, label: str) -> torch.Tensor:
    batch = model.task.collate([example(vocabulary, label, "stir the [MASK]", model.task)], vocabulary)  # type: ignore[arg-type]
    with torch.no_grad():
        return model.words.logits(model(batch).last_BLD[0, 3])


def test_logits_are_those_of_bert_on_words_and_the_labels_row(directory: Path, vocabulary: Vocabulary) -> None:
    """The encoder's input is, at every position, word + position + the label's row, layer-normed."""
    model = TaskModel.start(directory, TASK, seed=0).eval()
    ids = torch.tensor([example(vocabulary, "bad", "stir the [MASK]")["input_ids"]])
    table: Any = model.encoder.embeddings
    for number, label in enumerate(TASK.labels):
        row = table.token_type_embeddings.weight[number]
        added = table.word_embeddings(ids) + row + table.position_embeddings(torch.arange(ids.shape[1]))
        hidden = table.LayerNorm(added)
        for layer in model.encoder.encoder.layer:
            hidden = layer(hidden)[0] if isinstance(layer(hidden), tuple) else layer(hidden)
        torch.testing.assert_close(model.words.logits(hidden[0, 3]), logits(model, vocabulary, label))


def test_the_label_decides_where_its_row_says_so(directory: Path, vocabulary: Vocabulary) -> None:
    """An encoder without layers and position embeddings, whose output layer norms only: at [MASK] its state is
    norm(row of [MASK] + row of the label). Both of the form (x, -x, 0 …) with a label's x far larger, the state is the
    label's alone, so "good" predicts the word whose row points there, and "bad" the opposite one."""
    model = TaskModel.start(directory, ConditionalLM(labels=("good", "bad")), seed=0).eval()
    pretrained: Any = model.pretrained
    embeddings = pretrained.bert.embeddings
    pretrained.bert.encoder.layer = torch.nn.ModuleList()
    transform = pretrained.cls.predictions.transform
    transform.dense, transform.transform_act_fn = torch.nn.Identity(), torch.nn.Identity()
    with torch.no_grad():
        for parameter in (embeddings.position_embeddings, embeddings.word_embeddings, embeddings.token_type_embeddings):
            parameter.weight.zero_()
        pretrained.cls.predictions.bias.zero_()
        direction = torch.zeros(16)
        direction[:2] = torch.tensor([1.0, -1.0])
        soup, now = vocabulary.tokenizer.convert_tokens_to_ids(["soup", "now"])
        embeddings.word_embeddings.weight[soup], embeddings.word_embeddings.weight[now] = direction, -direction
        embeddings.token_type_embeddings.weight[0], embeddings.token_type_embeddings.weight[1] = direction, -direction
        for norm in (embeddings.LayerNorm, transform.LayerNorm):
            norm.weight.fill_(1.0)
            norm.bias.zero_()
    for label, word in (("good", soup), ("bad", now)):
        found = logits(model, vocabulary, label)
        assert found.argmax() == word
        # (1, -1, 0 …) of 16 has the variance 2/16: normed it is ±√8, and its product with (1, -1) 2·√8.
        assert found[word].item() == pytest.approx(2 * 8**0.5, rel=1e-4)


def test_loss_and_figures_are_over_hidden_words(directory: Path, vocabulary: Vocabulary) -> None:
    model = TaskModel.start(directory, TASK, seed=0).eval()
    rows = [example(vocabulary, "ugly"), example(vocabulary, "good", "cut the soup")]
    drawn = [TASK.draw(rows, i, np.random.default_rng(i), vocabulary) for i in range(2)]
    batch: Batch = TASK.collate(drawn, vocabulary)
    n = batch.counts["loss"]
    assert n == sum(len(d["targets"]) for d in drawn)
    with torch.no_grad():
        loss = TASK.loss(model.head, model(batch), batch, {"loss": 10.0})["loss"].item()
        measured = TASK.evaluate(model.head, model(batch), batch, vocabulary)
    assert [m["n"] for m in measured] == [len(d["targets"]) for d in drawn]
    assert -sum(m["log_p"] for m in measured) / 10 == pytest.approx(loss, rel=1e-5)
    figures = TASK.metrics([{"n": 3, "right": 1, "log_p": -3.0}, {"n": 1, "right": 1, "log_p": -1.0}])
    assert figures == {"accuracy": 0.5, "perplexity": pytest.approx(np.e)}


def test_answers_are_words_for_masks(directory: Path, vocabulary: Vocabulary) -> None:
    model = TaskModel.start(directory, TASK, seed=0).eval()
    rows = [example(vocabulary, "bad", "stir the [MASK] [MASK]"), example(vocabulary, "good", "stir")]
    batch = TASK.collate(rows, vocabulary)
    with torch.inference_mode():
        answers = TASK.predict(model.head, model(batch), batch, vocabulary)
    assert [(a["label"], len(a["masks"])) for a in answers] == [("bad", 2), ("good", 0)]
    best = [words[0] for words in answers[0]["masks"]]
    assert all(isinstance(w["word"], str) and 0 < w["probability"] <= 1 for w in best)
