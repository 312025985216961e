"""Encoders of other kinds than BERT under the same tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel

from models.encoder import TaskModel
from models.tasks import (
    ClassifyText,
    ExtractiveSummary,
    JudgeRelevance,
    LabelUtterances,
    MaskedLM,
    MultiTask,
    SpanQA,
    TagWords,
    Task,
)
from models.tasks.task import Batch
from models.vocabulary import Vocabulary
from tests.models.small_encoders import save_encoder, save_roberta

ASKED = {"question": "stir", "context": "cut the soup now", "answers": [{"text": "soup", "start": 8}]}
ROWS: dict[str, tuple[Task, Mapping[str, Any]]] = {
    "span": (SpanQA(), ASKED),
    "relevance": (JudgeRelevance(), {"query": "stir", "text": "the soup", "label": 1}),
    "summary": (ExtractiveSummary(shortest=1), {"sentences": ["stir the soup", "cut now"], "summary": ["cut now"]}),
    "tags": (TagWords(tags=("O",)), {"words": ["stir", "soup"], "tags": ["O", "O"]}),
    "intent": (
        LabelUtterances(tags=("O",), intents=("a",)),
        {"words": ["stir", "soup"], "tags": ["O", "O"], "intent": "a"},
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_an_encoder_with_one_token_type_learns_the_task(name: str, tmp_path: Path) -> None:
    """RoBERTa's second sentence is told from the first by what stands between them."""
    task, row = ROWS[name]
    tokenizer = save_roberta(tmp_path)
    (example,) = task.encode({"id": "1", "split": "train", **row}, tokenizer)
    drawn = {key: np.array(value) if isinstance(value, list) else value for key, value in example.items()}
    batch = task.collate([drawn], Vocabulary.of(tokenizer))
    model = TaskModel.start(tmp_path, task, seed=0).eval()
    encoded = model(batch)
    loss = sum(task.loss(model.head, encoded, batch, batch.counts).values())
    assert isinstance(loss, torch.Tensor)
    assert loss.isfinite()
    alone = AutoModel.from_pretrained(str(tmp_path)).eval()(input_ids=batch.input_ids_BL).last_hidden_state
    assert torch.allclose(encoded.last_BLD, alone, atol=1e-5)


def test_one_with_two_reads_them(tmp_path: Path) -> None:
    save_encoder(tmp_path)
    model = TaskModel.start(tmp_path, MaskedLM(), seed=0).eval()
    ids = torch.tensor([[2, 9, 3, 8, 3]])
    batch = Batch(ids, torch.ones_like(ids), torch.zeros_like(ids))
    second = replace(batch, token_type_ids_BL=torch.tensor([[0, 0, 0, 1, 1]]))
    assert not torch.allclose(model(batch).last_BLD, model(second).last_BLD, atol=1e-3)


def test_tasks_beside_one_that_predicts_words_keep_the_pooler(tmp_path: Path) -> None:
    save_encoder(tmp_path)
    both = MultiTask({"kind": ClassifyText(labels=("a", "b")), "words": MaskedLM(next_sentence=False)})
    assert TaskModel.start(tmp_path, both, seed=0).encoder.pooler is not None
    assert TaskModel.start(tmp_path, MaskedLM(next_sentence=False), seed=0).encoder.pooler is None
