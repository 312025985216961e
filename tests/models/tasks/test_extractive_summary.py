from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from models.encoder import TaskModel
from models.schedules import share_of_peak
from models.scoring.rouge import rouge
from models.tasks import ExtractiveSummary
from models.vocabulary import Vocabulary
from tests.models.small_encoders import save_encoder

TEXTS = ["stir the soup now", "a b", "cut the soup now", "the cafe the soup", "now stir the cafe"]
ROW = {"id": "d", "sentences": TEXTS, "summary": ["cut the soup now"], "split": "train"}
SMALL = ExtractiveSummary(layer="linear", sentences=2, shortest=4, max_tokens=12, stride=6)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    save_encoder(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(directory: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(str(directory))


def encoded(task: ExtractiveSummary, row: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    (example,) = task.encode(row, tokenizer)
    assert pa.Table.from_pylist([example], task.example_schema).num_rows == 1
    return example


def test_every_sentence_has_its_cls_and_short_ones_are_left_out(tokenizer: PreTrainedTokenizerBase) -> None:
    example = encoded(ExtractiveSummary(shortest=4), ROW, tokenizer)
    words = tokenizer.convert_ids_to_tokens(example["input_ids"])
    assert words[:12] == ["[CLS]", "stir", "the", "soup", "now", "[SEP]", "[CLS]", "cut", "the", "soup", "now", "[SEP]"]
    assert example["windows"] == [24]
    assert example["starts"] == [0, 6, 12, 18]
    assert example["kept"] == [0, 2, 3, 4]
    assert example["labels"] == [0, 1, 0, 0]


def test_a_long_document_is_read_in_windows(tokenizer: PreTrainedTokenizerBase) -> None:
    """Two sentences of six positions a window, one further each time; both show as much, so the first is read."""
    example = encoded(SMALL, ROW, tokenizer)
    assert example["windows"] == [12, 12, 12]
    assert example["starts"] == [0, 6, 12 + 6, 24 + 6]


def test_a_sentence_is_read_in_the_window_that_shows_most_around_it(tokenizer: PreTrainedTokenizerBase) -> None:
    """Of 6, 4, 6, 6 and 6 positions the sentences 0–2, 1–3 and 3–4 are windows. Sentence 2 ends the first of them, and
    has 4 positions before and 6 behind it in the second; sentence 1 begins that one."""
    example = encoded(replace(SMALL, shortest=2, max_tokens=16, stride=4), ROW, tokenizer)
    assert example["windows"] == [16, 16, 12]
    assert example["starts"] == [0, 6, 16 + 4, 16 + 10, 32 + 6]


@pytest.mark.parametrize(
    ("field", "published"),
    [
        *(("layer", "transformer"), ("sentences", 3), ("oracle_sentences", 3), ("trigram_blocking", True)),
        *(("shortest", 6), ("longest", 200), ("max_tokens", 512)),
    ],
)
def test_the_defaults_are_the_paper_s(field: str, published: Any) -> None:
    assert getattr(ExtractiveSummary(), field) == published


def test_of_a_long_sentence_the_beginning_is_read_and_of_many_the_reference_reads_100(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    long = {**ROW, "sentences": ["soup " * 201]}
    assert encoded(ExtractiveSummary(), long, tokenizer)["windows"] == [1 + 200 + 1]
    assert encoded(ExtractiveSummary(longest=7), long, tokenizer)["windows"] == [1 + 7 + 1]
    many = {**ROW, "sentences": ["soup " * 6] * 101}
    kept = [encoded(ExtractiveSummary(max_tokens=1000, faithful=f), many, tokenizer)["kept"] for f in (False, True)]
    assert kept == [list(range(101)), list(range(100))]


def test_the_reference_cuts_within_a_sentence(tokenizer: PreTrainedTokenizerBase) -> None:
    task = ExtractiveSummary(shortest=4, max_tokens=15, faithful=True)
    example = encoded(task, ROW, tokenizer)
    assert tokenizer.convert_ids_to_tokens(example["input_ids"])[-3:] == ["[CLS]", "the", "[SEP]"]
    assert (example["windows"], example["starts"], example["kept"]) == ([15], [0, 6, 12], [0, 2, 3])
    with pytest.raises(ValueError, match="the reference needs three"):
        task.encode({**ROW, "sentences": TEXTS[:3]}, tokenizer)


def test_the_reference_s_oracle_also_chooses_sentences_that_are_not_read(tokenizer: PreTrainedTokenizerBase) -> None:
    """The best sentence is too short to be read. The reference chooses it alone, and no label is left; else the oracle
    chooses among those that are read. The lead is the document's, the reference's of what is read."""
    sentences = ["stir the cafe now", "cafe soup", "the cafe the stir", "cut the stir now"]
    row = {"id": "d", "sentences": sentences, "summary": ["cafe soup", "now"], "split": "test"}
    ours, theirs = (
        encoded(ExtractiveSummary(shortest=4, sentences=2, faithful=faithful), row, tokenizer)
        for faithful in (False, True)
    )
    assert ours["kept"] == theirs["kept"] == [0, 2, 3]
    assert (ours["labels"], theirs["labels"]) == ([1, 0, 0], [0, 0, 0])
    assert ours["oracle"][0] > theirs["oracle"][0] == 0
    for example, lead in ((ours, sentences[:2]), (theirs, [sentences[0], sentences[2]])):
        assert example["lead"] == pytest.approx(list(rouge(lead, row["summary"]).values()))


def test_windows_are_rows_and_segments_alternate(tokenizer: PreTrainedTokenizerBase) -> None:
    task = ExtractiveSummary(shortest=2, max_tokens=14, stride=6)
    documents = [encoded(task, {**ROW, "sentences": TEXTS[:n]}, tokenizer) for n in (2, 5)]
    batch = task.collate(documents, Vocabulary.of(tokenizer))
    assert batch.input_ids_BL.shape == (4, 12)
    assert batch.token_type_ids_BL[0].tolist() == [0] * 6 + [1] * 4 + [0] * 2
    assert batch.labels["sentence"].tolist() == [[True] * 2 + [False] * 3, [True] * 5]
    assert batch.counts == {"loss": 7}
    flat = batch.input_ids_BL.flatten()
    assert (flat[batch.labels["at"]] == tokenizer.cls_token_id).all()
    texts = [TEXTS[i] for document in documents for i in document["kept"]]
    firsts = [tokenizer(text)["input_ids"][1] for text in texts]
    assert flat[batch.labels["at"] + 1].tolist() == firsts


@pytest.mark.parametrize("layer", ["linear", "transformer", "lstm"])
def test_loss_and_scores_do_not_depend_on_the_batch(directory: Path, layer: Any) -> None:
    task = ExtractiveSummary(layer=layer, shortest=2, max_tokens=14, stride=6)
    model = TaskModel.start(directory, task, seed=0).eval()
    tokenizer = AutoTokenizer.from_pretrained(str(directory))
    vocabulary = Vocabulary.of(tokenizer)
    documents = [encoded(task, {**ROW, "sentences": TEXTS[:n]}, tokenizer) for n in (2, 5, 3)]
    batch = task.collate(documents, vocabulary)
    whole = task.loss(model.head, model(batch), batch, {"loss": 10.0})["loss"]
    alone = [task.collate([d], vocabulary) for d in documents]
    parts = [task.loss(model.head, model(b), b, {"loss": 10.0})["loss"] for b in alone]
    torch.testing.assert_close(torch.stack(parts).sum(), whole)


@pytest.mark.parametrize("layer", ["linear", "transformer", "lstm"])
def test_scores_have_more_than_bf16_s_digits(directory: Path, layer: Any) -> None:
    """Sentences are ranked by them."""
    task = ExtractiveSummary(layer=layer, shortest=1)
    model = TaskModel.start(directory, task, seed=0).eval()
    tokenizer = AutoTokenizer.from_pretrained(str(directory))
    words = ["stir", "cut", "soup", "cafe"]
    sentences = [" ".join(words[i // 4**k % 4] for k in range(4)) for i in range(60)]
    row = encoded(task, {**ROW, "sentences": sentences}, tokenizer)
    batch = task.collate([row], Vocabulary.of(tokenizer))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        scores = task._logits(model.head, model(batch), batch)
    assert (scores != scores.bfloat16().float()).float().mean() > 0.9


@pytest.mark.parametrize("layer", ["linear", "transformer", "lstm"])
def test_every_layer_learns_which_sentence_is_wanted(tmp_path: Path, layer: Any) -> None:
    """Wherever it stands, in documents that are read in several windows."""
    save_encoder(tmp_path, width=32)
    task = replace(SMALL, layer=layer, sentences=1, oracle_sentences=1)
    tokenizer = AutoTokenizer.from_pretrained(str(tmp_path))
    vocabulary = Vocabulary.of(tokenizer)
    wanted = ["cut cut cut cut"]
    texts = ["stir the soup now", *wanted, "the soup the soup", "now stir the soup"]
    rows = [{**ROW, "sentences": texts[i:] + texts[:i], "summary": wanted} for i in range(4)]
    batch = task.collate([encoded(task, row, tokenizer) for row in rows], vocabulary)
    model = TaskModel.start(tmp_path, task, seed=0).eval()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(120):
        optimizer.param_groups[0]["lr"] = 3e-3 * share_of_peak("linear", step, 120, 0.1)
        loss = task.loss(model.head, model(batch), batch, batch.counts)["loss"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with torch.inference_mode():
        answers = task.predict(model.head, model(batch), batch, vocabulary)
    assert [answer["summary"] for answer in answers] == [wanted] * 4


def test_a_trigram_in_common_blocks() -> None:
    texts = ["One two three four.", "Well, two three FOUR again", "two three, five", "six seven eight"]
    assert ExtractiveSummary().choose([0, 1, 2, 3], texts) == [0, 2, 3]
    assert ExtractiveSummary().choose([1, 0, 2, 3], texts) == [1, 2, 3]
    assert ExtractiveSummary(trigram_blocking=False).choose([3, 1, 0, 2], texts) == [0, 1, 3]
    assert ExtractiveSummary(faithful=True).choose([3, 1, 0, 2], texts) == [3, 1, 0], "'four.' is no 'four' there"


def test_the_lead_and_the_oracle_are_measured_beside_it(directory: Path) -> None:
    """The lead "stir the soup now / a b" has 6 words, 3 of them among the summary's 4: F = 2·½·¾/1¼."""
    model = TaskModel.start(directory, SMALL, seed=0).eval()
    tokenizer = AutoTokenizer.from_pretrained(str(directory))
    example = encoded(SMALL, {**ROW, "split": "test"}, tokenizer)
    batch = SMALL.collate(
        [{k: np.asarray(v) if k == "lead" else v for k, v in example.items()}], Vocabulary.of(tokenizer)
    )
    (row,) = SMALL.evaluate(model.head, model(batch), batch, Vocabulary.of(tokenizer))
    assert row["lead_rouge1"] == pytest.approx(0.6)
    assert row["oracle_rouge1"] == 1
    figures = SMALL.metrics([row, {**row, "oracle_rouge1": 0.0}])
    assert figures["oracle_rouge1"] == 0.5
    assert set(figures) == {s + n for s in ("", "lead_", "oracle_") for n in ("rouge1", "rouge2", "rougeLsum")}


def test_new_documents_need_no_summary(directory: Path) -> None:
    model = TaskModel.start(directory, SMALL, seed=0).eval()
    tokenizer = AutoTokenizer.from_pretrained(str(directory))
    example = encoded(SMALL, {"sentences": "\n".join(TEXTS)}, tokenizer)
    batch = SMALL.collate([example], Vocabulary.of(tokenizer))
    (answer,) = SMALL.predict(model.head, model(batch), batch, Vocabulary.of(tokenizer))
    assert answer["summary"] == [TEXTS[i] for i in answer["chosen"]]
    assert len(answer["probability"]) == len(answer["chosen"]) <= 2
    assert SMALL.evaluate(model.head, model(batch), batch, Vocabulary.of(tokenizer)) == []


def test_rows_that_cannot_be_used_are_said(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(ValueError, match="no summary to learn from"):
        SMALL.encode({**ROW, "summary": []}, tokenizer)
    with pytest.raises(ValueError, match="none of its 1 sentences has 4 words"):
        SMALL.encode({**ROW, "sentences": ["a b"]}, tokenizer)
    with pytest.raises(ValueError, match="stride"):
        ExtractiveSummary(stride=0)
