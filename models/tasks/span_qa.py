"""Answers to questions as spans of a given context, or the answer that there is none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from models.answer_spans import SpanHead, best_spans
from models.answer_windows import Window, cut_windows, judged_pieces
from models.encoder import Encoded
from models.scoring import squad
from models.tasks.task import Batch, Row, Task, collate_ids
from models.vocabulary import Vocabulary

SPAN = pa.struct([("text", pa.string()), ("start", pa.int32()), ("end", pa.int32()), ("probability", pa.float32())])


@dataclass(frozen=True)
class SpanQA(Task):
    """The span of a context that answers a question (Devlin et al. 2019, sections 4.2 and 4.3: SQuAD).

    ``[CLS] question [SEP] window of the context [SEP]``, so many windows that all of the context is in one. A span's
    score is its start logit plus its end logit, and it is judged in the window that shows most around its start. "No
    answer" is the span of [CLS] alone; its score is the lowest over the windows.

    Rows have question, context and answers (text, start in characters); an answer is an exact substring of its context.
    """

    columns: ClassVar[tuple[str, ...]] = ("id", "question", "context", "answers", "split")
    example_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("window", pa.int32()),
            ("question", pa.string()),
            ("input_ids", pa.list_(pa.int32())),
            ("first", pa.int32()),
            ("judged_from", pa.int32()),
            ("judged_to", pa.int32()),
            ("start", pa.int32()),
            ("end", pa.int32()),
            ("passage", pa.string()),
            ("at", pa.int32()),
            ("starts", pa.list_(pa.int32())),
            ("ends", pa.list_(pa.int32())),
            ("answers", pa.list_(pa.string())),
            ("length", pa.int32()),
            ("split", pa.string()),
        ]
    )
    """``first`` is the position of the window's first piece, ``judged_from`` and ``judged_to`` the positions where a
    span may start, ``start`` and ``end`` the target ones (0 where the answer is elsewhere); ``passage`` is the window's
    text, ``at`` its offset in the context, ``starts`` and ``ends`` those of its pieces in it, all in characters."""
    prediction_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("question", pa.string()),
            ("answer", pa.string()),
            ("start", pa.int32()),
            ("end", pa.int32()),
            ("probability", pa.float32()),
            ("null_odds", pa.float32()),
            ("n_best", pa.list_(SPAN)),
        ]
    )
    learned: ClassVar[tuple[str, ...]] = ("null_threshold",)
    token_columns: ClassVar[tuple[str, ...]] = ("input_ids",)

    max_tokens: int = 384
    """Wordpieces of a window, question, [CLS] and [SEP]s included."""
    stride: int = 128
    """Wordpieces from the beginning of a window to that of the next."""
    max_question: int = 64
    """Wordpieces of the question; the rest is cut."""
    max_answer: int = 30
    """Wordpieces of the longest answer that is given."""
    n_best: int = 20
    """Answers that are kept, with their probabilities, the best first."""
    unanswerable: bool = False
    """Whether the context may hold no answer (SQuAD version 2), so that "no answer" is a choice too."""
    null_threshold: float | None = None
    """No answer is given where "no answer" scores more than this above the best span. By default what gives the best F1
    on the dev split, or 0 without one."""

    # ------------------------------------------------------------------------------------------- examples

    def encode(self, row: Row, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
        (asked, _), (ids, offsets) = (_pieces(tokenizer, _text(row, name)) for name in ("question", "context"))
        head = [tokenizer.cls_token_id, *asked[: self.max_question], tokenizer.sep_token_id]
        if self.max_tokens - len(head) < 2:
            raise ValueError(f"max_tokens is {self.max_tokens}, which leaves no room beside a question of {len(head)}")
        answers = row.get("answers") if row.get("split") else None  # a new row's are not looked at
        target = self._target(row, offsets) if row.get("split") in ("train", "dev") else None
        windows = cut_windows(len(ids), self.max_tokens - len(head) - 1, self.stride)
        examples = []
        for number, (window, judged) in enumerate(zip(windows, judged_pieces(windows), strict=True)):
            here = target is not None and window.start <= target.start and target.end <= window.end
            shift = len(head) - window.start
            at, end = int(offsets[window.start, 0]), int(offsets[window.end - 1, 1])
            pieces = offsets[window.start : window.end] - at
            input_ids = np.array([*head, *ids[window.start : window.end], tokenizer.sep_token_id], np.int32)
            examples.append(
                {
                    "id": row.get("id"),
                    "window": number,
                    "question": row["question"],
                    "input_ids": input_ids,
                    "first": len(head),
                    "judged_from": judged.start + shift,
                    "judged_to": judged.end + shift,
                    "start": target.start + shift if target and here else 0,
                    "end": target.end - 1 + shift if target and here else 0,
                    "passage": row["context"][at:end],
                    "at": at,
                    "starts": pieces[:, 0],
                    "ends": pieces[:, 1],
                    "answers": None if answers is None else [a["text"] for a in answers],
                    "length": len(input_ids),
                    "split": row.get("split"),
                }
            )
        return examples

    def _target(self, row: Row, offsets: np.ndarray) -> Window | None:
        """The pieces of the first answer; None for a question that has none. ValueError where it should not be so."""
        answers = row.get("answers")
        if not answers:
            if answers is None:
                raise ValueError("the answers are missing")
            if not self.unanswerable:
                raise ValueError("a question without an answer: set the task's field unanswerable (SQuAD version 2)")
            return None
        text, start = answers[0]["text"], answers[0]["start"]
        if row["context"][start : start + len(text)] != text:
            raise ValueError(f"the answer '{text}' is not at character {start} of the context")
        inside = np.flatnonzero((offsets[:, 1] > start) & (offsets[:, 0] < start + len(text)))
        if not len(inside):
            raise ValueError(f"the answer {text!a} becomes no wordpiece")
        return Window(int(inside[0]), int(inside[-1]) + 1)

    def collate(self, examples: Sequence[Row], vocabulary: Vocabulary) -> Batch:
        """``labels`` are the positions ``start`` and ``end`` [B] and, for predictions, ``limit`` [B, L]: where a span
        from each position must have ended, 0 where none may start."""
        batch = collate_ids(examples, vocabulary)
        limit = torch.zeros_like(batch.input_ids_BL)
        for i, e in enumerate(examples):
            batch.token_type_ids_BL[i, e["first"] : len(e["input_ids"])] = 1
            limit[i, e["judged_from"] : e["judged_to"]] = len(e["input_ids"]) - 1
        batch.labels = {name: torch.tensor([int(e[name]) for e in examples]) for name in ("start", "end")}
        batch.labels["limit"] = limit
        batch.counts["loss"] = len(examples)
        return batch

    # ------------------------------------------------------------------------------------------- head and loss

    def head(self, config: PreTrainedConfig) -> nn.Module:
        return SpanHead(config.hidden_size)

    def loss(self, head: nn.Module, encoded: Encoded, batch: Batch, totals: Mapping[str, float]) -> dict[str, Tensor]:
        """Half the cross-entropy of the start plus half that of the end, over all positions of a window."""
        logits = head(encoded, batch.attention_mask_BL)
        targets = batch.labels["start"], batch.labels["end"]
        sums = [F.cross_entropy(of, to, reduction="sum") for of, to in zip(logits, targets, strict=True)]
        return {"loss": (sums[0] + sums[1]) / (2 * totals["loss"])}

    # ------------------------------------------------------------------------------------------- answers

    def predict(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """For each window its best spans and the score of "no answer"; ``join`` makes the answer of them."""
        start_BL, end_BL = head(encoded, batch.attention_mask_BL)
        spans = best_spans(start_BL, end_BL, batch.labels["limit"], self.max_answer, self.n_best)
        null = (start_BL[:, 0] + end_BL[:, 0]).tolist()
        rows = zip(*(part.tolist() for part in spans), strict=True)
        return [
            {
                "id": e["id"],
                "question": e["question"],
                "null": null[i],
                "spans": [_answer(e, *span) for span in zip(*row, strict=True) if math.isfinite(span[0])],
            }
            for i, (e, row) in enumerate(zip(batch.examples, rows, strict=True))
        ]

    def evaluate(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        answers = self.predict(head, encoded, batch, vocabulary)
        return [{**a, "answers": e["answers"]} for a, e in zip(answers, batch.examples, strict=True)]

    def join(self, windows: Sequence[Row]) -> dict[str, Any]:
        spans: dict[str, Row] = {}
        for span in sorted((s for w in windows for s in w["spans"] if s["text"]), key=lambda s: -s["score"]):
            spans.setdefault(span["text"], span)
        best = list(spans.values())[: self.n_best]
        null = min(w["null"] for w in windows)
        null_odds = null - best[0]["score"] if best and self.unanswerable else None
        total = _log_sum_exp([s["score"] for s in best] + ([null] if self.unanswerable or not best else []))
        n_best = [
            {k: s[k] for k in ("text", "start", "end")} | {"probability": _share(s["score"], total)} for s in best
        ]
        chosen = {"text": "", "start": None, "end": None, "probability": _share(null, total)}
        if best and (null_odds is None or null_odds <= self._threshold):
            chosen = n_best[0]
        names = {name: windows[0][name] for name in ("id", "question", "answers") if name in windows[0]}
        answer = {"answer": chosen["text"], **{k: chosen[k] for k in ("start", "end", "probability")}}
        return {**names, **answer, "null_odds": null_odds, "n_best": n_best}

    @property
    def _threshold(self) -> float:
        return 0.0 if self.null_threshold is None else self.null_threshold

    # ------------------------------------------------------------------------------------------- figures

    def metrics(self, rows: Iterable[Row]) -> dict[str, float]:
        """Exact match and F1 by SQuAD's rule, of version 2 where ``unanswerable``. Unlabelled rows do not count."""
        return squad.figures(_scored(rows), self._threshold if self.unanswerable else None)

    @property
    def tunes(self) -> bool:
        return self.unanswerable and self.null_threshold is None

    def tune(self, rows: Iterable[Row]) -> Self:
        questions = _scored(rows)
        if not self.tunes or not questions:
            return self
        _, threshold = squad.best_threshold(questions, [squad.f1(q.prediction, q.answers) for q in questions])
        return replace(self, null_threshold=threshold)


def _text(row: Row, name: str) -> str:
    text = row[name]
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"the {name} is empty")
    return text


@lru_cache(maxsize=8)
def _pieces(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Ids [n] and offsets [n, 2] of a text's pieces. Kept for a while: a paragraph has several questions."""
    encoded = tokenizer(
        text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True, verbose=False
    )
    offsets = np.array(encoded["offset_mapping"], np.int32).reshape(-1, 2)
    if not len(offsets):
        raise ValueError(f"the text {text[:20]!a} becomes no wordpiece")
    return np.array(encoded["input_ids"], np.int32), offsets


def _answer(example: Row, score: float, start: int, end: int) -> dict[str, Any]:
    """The span from position ``start`` to ``end`` (inclusive) as text with its place in the context."""
    left, right = int(example["starts"][start - example["first"]]), int(example["ends"][end - example["first"]])
    text = example["passage"][left:right]
    left += len(text) - len(text.lstrip())
    text = text.strip()
    at = int(example["at"]) + left
    return {"score": score, "text": text, "start": at, "end": at + len(text)}


def _scored(rows: Iterable[Row]) -> list[squad.Scored]:
    """What is to be scored: of the rows with gold answers the best span, whatever the threshold."""
    return [
        squad.Scored(row["answers"], row["n_best"][0]["text"] if row["n_best"] else "", row["null_odds"])
        for row in rows
        if row["answers"] is not None
    ]


def _log_sum_exp(scores: Sequence[float]) -> float:
    most = max(scores)
    return most + math.log(math.fsum(math.exp(s - most) for s in scores))


def _share(score: float, total: float) -> float:
    return round(math.exp(score - total), 4)
