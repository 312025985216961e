"""Span question answering beside Hugging Face's Trainer: the same encoder, questions, seeds and hyper-parameters.

    python tests/benchmarks/span_qa.py questions.json --test-articles 8

Ours is SpanQA; theirs AutoModelForQuestionAnswering, with answers chosen as in its example run_qa.py (spans between the
20 best starts and ends) from windows that are as many as ours. An example is a window. What is timed and how says
beside_trainer.py. Exact match and F1 are SQuAD's, on the test articles.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
import transformers as hf
from beside_trainer import HuggingFace, compare, options

from models.scoring import squad
from models.tasks import SpanQA
from stages.text.read_squad import ReadSquad

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def main() -> None:
    parser = options(__doc__, epochs=3, learning_rate=1e-4, batch=16)
    parser.add_argument("questions", help="file in SQuAD's format, version 1.1")
    parser.add_argument("--test-articles", type=int, default=8, help="so many of its last articles to test on")
    given = parser.parse_args()
    compare(given, ReadSquad(train=given.questions, test_articles=given.test_articles), SpanQA(), Answers)


class Answers(HuggingFace):
    def __init__(self, given: argparse.Namespace) -> None:
        super().__init__(given)
        self.train = [window for row in self.rows("train") for window, _ in self._windows(row)]
        self.questions = [(row, self._windows(row)) for row in self.rows("test")]
        self.test = [window for _, windows in self.questions for window, _ in windows]

    def _windows(self, row: dict[str, Any]) -> list[tuple[dict[str, Any], list[Any]]]:
        """Windows with the characters of their pieces, None outside the context."""
        size = self.task.max_tokens
        room = size - len(self.tokenizer(row["question"], "")["input_ids"])
        encoded = self.tokenizer(
            row["question"],
            row["context"],
            truncation="only_second",
            max_length=size,
            stride=room - self.task.stride,  # what two windows share
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        start = row["answers"][0]["start"]
        end = start + len(row["answers"][0]["text"])
        windows = []
        for number, offsets in enumerate(encoded["offset_mapping"]):
            of = encoded.sequence_ids(number)
            inside = [i for i, (s, e) in enumerate(offsets) if of[i] == 1 and e > start and s < end]
            first, last = of.index(1), len(of) - 1 - of[::-1].index(1)
            whole = offsets[first][0] <= start and end <= offsets[last][1]
            window = {name: encoded[name][number] for name in INPUTS}
            window["start_positions"] = inside[0] if whole else 0
            window["end_positions"] = inside[-1] if whole else 0
            windows.append((window, [o if of[i] == 1 else None for i, o in enumerate(offsets)]))
        return windows

    def model(self) -> hf.PreTrainedModel:
        return hf.AutoModelForQuestionAnswering.from_pretrained(self.given.encoder, dtype=torch.float32)

    def scores(self, predictions: Any) -> dict[str, float]:
        logits = zip(*predictions[:2], strict=True)
        scored = []
        for row, windows in self.questions:
            found = (best_of(*next(logits), offsets) for _, offsets in windows)
            _, (left, right) = max(found, key=lambda best: best[0])
            scored.append(squad.Scored([a["text"] for a in row["answers"]], row["context"][left:right]))
        return squad.figures(scored)


def best_of(start: np.ndarray, end: np.ndarray, offsets: list[Any], n: int = 20) -> tuple[float, tuple[int, int]]:
    """Score and characters of the best span between the ``n`` best starts and ends, of at most 30 pieces."""
    found = (-np.inf, (0, 0))
    for i in np.argsort(start[: len(offsets)])[-n:]:
        for j in np.argsort(end[: len(offsets)])[-n:]:
            if offsets[i] and offsets[j] and i <= j < i + 30:
                found = max(found, (float(start[i] + end[j]), (offsets[i][0], offsets[j][1])))
    return found


if __name__ == "__main__":
    main()
