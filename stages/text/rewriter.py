"""A trained conditional language model at work on hidden words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from models.encoder import Encoded
from models.tasks import Batch, ConditionalLM
from models.vocabulary import Vocabulary
from models.word_masks import Sentence, drawn_words, whole_words
from pipeline import UserError
from stages.inference import Inference


@dataclass(frozen=True)
class Request:
    """Words of a sentence to replace under a label."""

    sentence: Sentence
    hidden: tuple[int, ...]
    """The words, by number."""
    label: str
    chance: tuple[float, ...] = ()
    """A number from 0 to 1 for each, which says what is drawn; without them the likeliest words are taken, other than
    those that stood there."""


class Found(NamedTuple):
    """A word for a hidden one."""

    id: int
    probability: float


class Rewriter:
    """A model that Train made of ConditionalLM."""

    def __init__(self, model: Path, temperature: float = 1.0) -> None:
        self.inference = Inference(model, exact=True)
        task = self.inference.task
        if not isinstance(task, ConditionalLM):
            raise UserError(f"{model}: trained for {type(task).__name__}, not ConditionalLM")
        self.task, self.temperature = task, temperature
        self.tokenizer, self.vocabulary = self.inference.tokenizer, self.inference.vocabulary
        self.allowed_V = torch.from_numpy(whole_words(self.vocabulary)).to(self.inference.device)

    def read(self, text: str) -> Sentence:
        """A text as the model reads it."""
        return Sentence.read(text, self.tokenizer, self.task.max_tokens)

    def fill(self, requests: Sequence[Request]) -> list[list[Found]]:
        """For each request a word for every hidden one, all at the same time."""
        examples = []
        for request in requests:
            ids, masks = request.sentence.ids(request.hidden, self.vocabulary)
            label = self.task.labels.index(request.label)
            examples.append({"input_ids": ids, "masks": masks, "label": label, "request": request})
        filled: list[list[Found]] = [[]] * len(requests)
        for chunk, rows in self.inference.run(examples, self._read):
            for position, row in zip(chunk, rows, strict=True):
                filled[position] = row["found"]
        return filled

    def _read(
        self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary
    ) -> list[dict[str, list[Found]]]:
        assert encoded.words is not None
        rows = []
        for i, example in enumerate(batch.examples):
            masks = torch.from_numpy(example["masks"])
            logits_nV = encoded.words.logits(encoded.last_BLD[i, masks])[:, : len(self.allowed_V)]
            rows.append({"found": self._choose(example["request"], logits_nV)})
        return rows

    def _choose(self, request: Request, logits_nV: torch.Tensor) -> list[Found]:
        logits_nV = logits_nV.masked_fill(~self.allowed_V, -torch.inf)
        if request.chance:
            ids = drawn_words(logits_nV, self.allowed_V, self.temperature, request.chance)
        else:
            for row, number in zip(logits_nV, request.hidden, strict=True):
                row[list(request.sentence.pieces[number])] = -torch.inf
            ids = logits_nV.argmax(-1).tolist()
        p_nV: Any = logits_nV.softmax(-1)
        return [Found(id_, float(p_V[id_])) for id_, p_V in zip(ids, p_nV, strict=True)]
