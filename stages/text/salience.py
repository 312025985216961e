"""A trained classifier of texts, and the words by which it decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from models.tasks import ClassifyText
from models.word_masks import Sentence
from pipeline import UserError
from stages.inference import MICRO_BATCH_TOKENS, Inference
from stages.micro_batches import cut


class Classifier:
    """A model that Train made of ClassifyText."""

    def __init__(self, model: Path) -> None:
        self.inference = Inference(model, exact=True)
        task = self.inference.task
        if not isinstance(task, ClassifyText):
            raise UserError(f"{model}: trained for {type(task).__name__}, not ClassifyText")
        self.task, self.path = task, model

    @property
    def attends(self) -> bool:
        """Whether its encoder has attention."""
        return hasattr(self.inference.model.pretrained.config, "num_attention_heads")

    def read(self, text: str) -> Sentence:
        """A text as the classifier reads it."""
        return Sentence.read(text, self.inference.tokenizer, self.task.max_tokens)

    def labels(self, texts: Sequence[str]) -> list[str]:
        """The likeliest label of each text."""
        encoded = [self.task.encode({"text": text}, self.inference.tokenizer)[0] for text in texts]
        probabilities = self._probabilities([np.array(e["input_ids"]) for e in encoded])
        return [self.task.labels[i] for i in probabilities.argmax(1)]

    def attention(self, sentences: Sequence[Sentence]) -> list[np.ndarray]:
        """What share of its attention [CLS] gives each word of each sentence: the last layer's, mean over its heads."""
        model = self.inference.model
        examples = self._examples([s.ids((), self.inference.vocabulary)[0] for s in sentences])
        found: list[np.ndarray] = [np.zeros(0)] * len(sentences)
        with torch.inference_mode(), attention_told(model.pretrained):
            for chunk in cut(np.array([len(e["input_ids"]) for e in examples]), MICRO_BATCH_TOKENS):
                batch = self.task.collate([examples[i] for i in chunk], self.inference.vocabulary)
                moved = batch.to(self.inference.device)
                output: Any = model.encoder(
                    input_ids=moved.input_ids_BL, attention_mask=moved.attention_mask_BL, output_attentions=True
                )
                share_BL = output.attentions[-1][:, :, 0].float().mean(1).cpu().numpy()
                for position, share_L in zip(chunk, share_BL, strict=True):
                    edges = accumulate(map(len, sentences[position].pieces), initial=1)
                    found[position] = np.array([share_L[a:b].sum() for a, b in pairwise(edges)])
        return found

    def deletion(self, sentences: Sequence[Sentence], labels: Sequence[str]) -> list[np.ndarray]:
        """How far the probability of its label falls where a word of a sentence is hidden, for each word."""
        ids, owners = [], []
        for number, sentence in enumerate(sentences):
            ids.append(sentence.ids((), self.inference.vocabulary)[0])
            ids += [sentence.ids((word,), self.inference.vocabulary)[0] for word in range(len(sentence.pieces))]
            owners += [number] * (1 + len(sentence.pieces))
        probabilities = self._probabilities(ids)
        found = []
        for number, label in enumerate(labels):
            mine = probabilities[np.array(owners) == number, self.task.labels.index(label)]
            found.append(mine[0] - mine[1:])
        return found

    def _probabilities(self, ids: Sequence[np.ndarray]) -> np.ndarray:
        """Of each label for each sentence: float64 [sentences, labels]."""
        answers = np.zeros((len(ids), len(self.task.labels)))
        examples = self._examples(ids)
        for chunk, rows in self.inference.run(examples, self._read):
            answers[chunk] = [row["probabilities"] for row in rows]
        return answers

    def _read(self, head: Any, encoded: Any, batch: Any, vocabulary: Any) -> list[dict[str, list[float]]]:
        return [{"probabilities": p} for p in self.task.log_probabilities(head, encoded, batch).exp().tolist()]

    @staticmethod
    def _examples(ids: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        return [{"input_ids": i, "label": -1} for i in ids]


@contextmanager
def attention_told(model: PreTrainedModel) -> Iterator[None]:
    """Meanwhile the model can say what it attends to: of transformers' implementations only this one does."""
    usual = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(usual)
