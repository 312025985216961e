"""Long and short answers to questions on whole pages, by one model over windows of the page."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from models.answer_spans import SpanHead, best_spans, spans_of_best_ends
from models.answer_windows import Window, cut_windows
from models.encoder import Encoded
from models.nq_layout import QUESTION, PageText, marker_ids
from models.nq_pages import ANNOTATION, SPAN, page
from models.scoring.natural_questions import Judged, Label, best_point, figures, judge_long, judge_short
from models.sentence_head import fresh_linear
from models.tasks.task import Batch, Row, Task, collate_ids
from models.vocabulary import Vocabulary

TYPES = ("UNKNOWN", "YES", "NO", "SHORT", "LONG")
UNKNOWN, YES, NO, SHORT, LONG = range(5)

ANSWER = pa.struct(
    [
        ("text", pa.string()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("long_start", pa.int32()),
        ("long_end", pa.int32()),
        ("score", pa.float32()),
    ]
)


@dataclass(frozen=True)
class NaturalQuestions(Task):
    """BERT-joint (Alberti, Lee, Collins 2019, arXiv 1901.08634): where on a page the answer is, and of which type.

    ``[CLS] [Q] question [SEP] window of the page [SEP]``. The page is its top-level candidates one after another, each
    after markers of its number and kind, and before them ``[ContextId=-1] [NoLongAnswer]``. A window's target is the
    short answer, or the whole candidate of a long, YES or NO answer, and its type; a window without it points at [CLS]
    and is UNKNOWN. Of all windows of a page the span with the highest start + end logit, minus those of [CLS], is the
    short answer, and the smallest top-level candidate around it the long one.

    Rows are pages as models/nq_pages.py makes them, or lines of Natural Questions' files as they are.
    """

    columns: ClassVar[tuple[str, ...]] = ("id", "question", "candidates", "annotations", "split")
    example_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("window", pa.int32()),
            ("question", pa.string()),
            ("input_ids", pa.list_(pa.int32())),
            ("first", pa.int32()),
            ("runs", pa.list_(pa.int32())),
            ("word", pa.list_(pa.int32())),
            ("words", pa.string()),
            ("tokens", pa.list_(pa.int32())),
            ("long", pa.list_(pa.int32())),
            ("start", pa.int32()),
            ("end", pa.int32()),
            ("type", pa.int32()),
            ("annotations", pa.list_(ANNOTATION)),
            ("length", pa.int32()),
            ("split", pa.string()),
        ]
    )
    """``first`` is the position of the window's first piece; ``runs`` are the positions [start, end) of each
    candidate's words; ``word`` is for each piece from ``first`` on its word among ``words``, -1 for a marker;
    ``tokens`` are these words' places on the page; ``long`` the spans of the candidates around, in tokens; ``start``,
    ``end`` and ``type`` the targets; ``annotations`` stand in a page's first window."""
    prediction_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("question", pa.string()),
            ("long_start", pa.int32()),
            ("long_end", pa.int32()),
            ("long_given", pa.bool_()),
            ("short", pa.list_(pa.struct([("text", pa.string()), *SPAN]))),
            ("short_given", pa.bool_()),
            ("yes_no", pa.string()),
            ("type", pa.string()),
            ("score", pa.float32()),
            ("n_best", pa.list_(ANSWER)),
        ]
    )
    """Spans are of the page's tokens, the end exclusive. ``long_given`` and ``short_given`` say whether the score
    reaches the threshold; ``type`` is what the best span's window is likeliest to hold."""
    learned: ClassVar[tuple[str, ...]] = ("long_threshold", "short_threshold")
    token_columns: ClassVar[tuple[str, ...]] = ("input_ids",)
    loss_terms: ClassVar[tuple[str, ...]] = ("start", "end", "type")
    repeats: ClassVar[tuple[str, ...] | None] = ("example_id", "document_title")

    max_tokens: int = 512
    """Wordpieces of a window, question, markers, [CLS] and [SEP]s included."""
    stride: int = 128
    """Wordpieces from the beginning of a window to that of the next."""
    max_question: int = 64
    """Wordpieces of the question with its [Q]; of a longer one the last."""
    max_contexts: int = 48
    """Candidates of a page that are read, the leading [NoLongAnswer] among them; what lies beyond is not answered."""
    max_answer: int = 30
    """Wordpieces of the longest short answer that is given."""
    n_best: int = 10
    """Spans of a window, and of a page, that are kept."""
    null_share: float = 0.02
    """Share of the training windows without the answer that are kept."""
    seed: int = 0
    """Seeds which of them."""
    yes_no: bool = False
    """Answer YES or NO where that is the likeliest type of the best span's window; else YES and NO are never given, as
    in the paper."""
    long_threshold: float | None = None
    """Score from which on a long answer is given. By default what gives the best F1 on the dev split, else all are."""
    short_threshold: float | None = None
    """Score from which on a short answer is given. By default what gives the best F1 on the dev split, else all are."""
    faithful: bool = False
    """Choose spans as the reference implementation does: only between a window's n_best highest starts and n_best
    highest ends, of which those in the question and in markers are lost, and also across the border of two candidates,
    which leaves the long answer empty. Else every span within a candidate is compared."""

    # ------------------------------------------------------------------------------------------- examples

    def encode(self, row: Row, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
        if "candidates" not in row:
            row = page(row, row.get("split"))
        training = row.get("split") == "train"
        if training and row["annotations"] is None:
            raise ValueError("nobody has annotated the page")
        question = tokenizer(row["question"], add_special_tokens=False, split_special_tokens=True, verbose=False)
        asked = [marker_ids(tokenizer)[QUESTION], *question["input_ids"]][-self.max_question :]
        head = [tokenizer.cls_token_id, *asked, tokenizer.sep_token_id]
        if self.max_tokens - len(head) < 2:
            raise ValueError(f"max_tokens is {self.max_tokens}, which leaves no room beside a question of {len(head)}")
        text = PageText.lay_out(row["candidates"], tokenizer, self.max_contexts)
        target = _target(row, text) if row.get("annotations") else None
        rng = np.random.default_rng([self.seed, zlib.crc32(str(row.get("id")).encode())])
        examples: list[dict[str, Any]] = []
        for window in cut_windows(len(text.ids_P), self.max_tokens - len(head) - 1, self.stride):
            here = target is not None and window.start <= target.span.start and target.span.end <= window.end
            if training and not here and rng.random() >= self.null_share:
                continue
            shift = len(head) - window.start
            input_ids = np.array([*head, *text.ids_P[window.start : window.end], tokenizer.sep_token_id], np.int32)
            examples.append(
                {
                    "id": row.get("id"),
                    "window": len(examples),
                    "question": row["question"],
                    "input_ids": input_ids,
                    "first": len(head),
                    **text.show(window, shift, row["candidates"]),
                    "start": target.span.start + shift if target and here else 0,
                    "end": target.span.end - 1 + shift if target and here else 0,
                    "type": target.type if target and here else UNKNOWN,
                    "annotations": None if examples else row.get("annotations"),
                    "length": len(input_ids),
                    "split": row.get("split"),
                }
            )
        return examples

    def collate(self, examples: Sequence[Row], vocabulary: Vocabulary) -> Batch:
        """``labels`` are ``start``, ``end`` and ``type`` [B] and, for predictions, ``limit`` [B, L]: where a span from
        each position must have ended, 0 where none may start."""
        batch = collate_ids(examples, vocabulary)
        limit_BL = torch.zeros_like(batch.input_ids_BL)
        for i, e in enumerate(examples):
            batch.token_type_ids_BL[i, e["first"] : len(e["input_ids"])] = 1
            for start, end in np.reshape(e["runs"], (-1, 2)).tolist():
                limit_BL[i, start:end] = end
        batch.labels = {name: torch.tensor([int(e[name]) for e in examples]) for name in self.loss_terms}
        batch.labels["limit"] = limit_BL
        batch.counts = dict.fromkeys(self.loss_terms, len(examples))
        return batch

    # ------------------------------------------------------------------------------------------- head and loss

    def head(self, config: PreTrainedConfig) -> nn.Module:
        return PageHead(config.hidden_size)

    def loss(self, head: nn.Module, encoded: Encoded, batch: Batch, totals: Mapping[str, float]) -> dict[str, Tensor]:
        """A third each of the cross-entropy of start, end and type."""
        logits = dict(zip(self.loss_terms, head(encoded, batch.attention_mask_BL), strict=True))
        return {
            name: F.cross_entropy(logits[name], batch.labels[name], reduction="sum") / (3 * totals[name])
            for name in self.loss_terms
        }

    # ------------------------------------------------------------------------------------------- answers

    def predict(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """For each window its best spans; ``join`` ranks those of a page."""
        start_BL, end_BL, type_B5 = head(encoded, batch.attention_mask_BL)
        limit_BL = batch.labels["limit"]
        if self.faithful:
            spans = spans_of_best_ends(start_BL, end_BL, limit_BL > 0, self.max_answer, self.n_best)
        else:
            spans = best_spans(start_BL, end_BL, limit_BL, self.max_answer, self.n_best)
        nulls, types = (start_BL[:, 0] + end_BL[:, 0]).tolist(), type_B5.argmax(-1).tolist()
        rows = zip(*(part.tolist() for part in spans), strict=True)
        return [
            {
                "id": e["id"],
                "question": e["question"],
                "spans": [
                    {**_answer(e, first, last), "score": score - null, "type": TYPES[kind]}
                    for score, first, last in zip(*row, strict=True)
                    if math.isfinite(score)
                ],
            }
            for e, row, null, kind in zip(batch.examples, rows, nulls, types, strict=True)
        ]

    def evaluate(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        answers = self.predict(head, encoded, batch, vocabulary)
        return [{**a, "annotations": e["annotations"]} for a, e in zip(answers, batch.examples, strict=True)]

    def join(self, windows: Sequence[Row]) -> dict[str, Any]:
        spans: dict[tuple[int, int], Row] = {}
        for span in sorted((s for w in windows for s in w["spans"]), key=lambda s: -s["score"]):
            spans.setdefault((span["start"], span["end"]), span)
        n_best = list(spans.values())[: self.n_best]
        names = {name: windows[0][name] for name in ("id", "question", "annotations") if name in windows[0]}
        best: Row = (
            n_best[0] if n_best else {"long_start": None, "long_end": None, "score": 0.0, "type": TYPES[UNKNOWN]}
        )
        yes_no = best["type"] if self.yes_no and best["type"] in (TYPES[YES], TYPES[NO]) else "NONE"
        short = [{k: best[k] for k in ("text", "start", "end")}] if n_best and yes_no == "NONE" else []
        return {
            **names,
            **{k: best[k] for k in ("long_start", "long_end", "type", "score")},
            "long_given": best["long_start"] is not None and _reaches(best["score"], self.long_threshold),
            "short": short,
            "short_given": bool(n_best) and _reaches(best["score"], self.short_threshold),
            "yes_no": yes_no,
            "n_best": n_best,
        }

    # ------------------------------------------------------------------------------------------- figures

    def metrics(self, rows: Iterable[Row]) -> dict[str, float]:
        """The official figures of long and of short answers; pages that nobody annotated do not count."""
        long, short = _judged(rows)
        if not long:
            return {}
        return figures(long, "long", self.long_threshold) | figures(short, "short", self.short_threshold)

    @property
    def tunes(self) -> bool:
        return self.long_threshold is None or self.short_threshold is None

    def tune(self, rows: Iterable[Row]) -> Self:
        long, short = _judged(rows)
        if not long:
            return self
        return replace(
            self,
            long_threshold=best_point(long).threshold if self.long_threshold is None else self.long_threshold,
            short_threshold=best_point(short).threshold if self.short_threshold is None else self.short_threshold,
        )


class PageHead(nn.Module):
    """A start and an end logit a position, and a logit a type from the pooled [CLS]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.span = SpanHead(width)
        self.answer_type = fresh_linear(width, len(TYPES))

    def forward(self, encoded: Encoded, attention_mask_BL: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of start and end [B, L] and of the type [B, 5], in float32."""
        pooled_BD = encoded.last_BLD[:, 0] if encoded.pooled_BD is None else encoded.pooled_BD
        with torch.autocast(pooled_BD.device.type, enabled=False):
            type_B5 = self.answer_type(pooled_BD.float())
        return *self.span(encoded, attention_mask_BL), type_B5


class _Target(NamedTuple):
    type: int
    span: Window


def _target(row: Row, text: PageText) -> _Target | None:
    """What to learn: the answer of the first annotator, in the order of the candidates, who gave a short answer, or
    else a long one; of several short answers everything from the first to the last. A nested candidate is read as the
    one of the top level around it. None where the answer is not on what is read."""
    positive = sorted((a for a in row["annotations"] if a["start"] >= 0), key=lambda a: int(a["candidate"]))
    chosen = next((a for a in positive if a["short"]), positive[0] if positive else None)
    if chosen is None:
        return None
    around = (n for n, c in enumerate(row["candidates"]) if c["start"] <= chosen["start"] and chosen["end"] <= c["end"])
    number = next(around, None)
    if number is None:
        return None
    if chosen["short"]:
        kind = SHORT
        span = text.pieces_of(number, min(s["start"] for s in chosen["short"]), max(s["end"] for s in chosen["short"]))
    else:
        kind = {"YES": YES, "NO": NO}.get(chosen["yes_no"], LONG)
        span = text.pieces_of(number)
    return _Target(kind, span) if span else None


def _answer(example: Row, first: int, last: int) -> dict[str, Any]:
    """The span from position ``first`` to ``last``, inclusive: its words, tokens, and the smallest candidate around."""
    low, high = (int(example["word"][p - example["first"]]) for p in (first, last))
    start, end = int(example["tokens"][low]), int(example["tokens"][high]) + 1
    around = [c for c in np.reshape(example["long"], (-1, 2)).tolist() if c[0] <= start and end <= c[1]]
    long_start, long_end = min(around, key=lambda c: c[1] - c[0], default=(None, None))
    text = " ".join(example["words"].split(" ")[low : high + 1])
    return {"text": text, "start": start, "end": end, "long_start": long_start, "long_end": long_end}


def _reaches(score: float, threshold: float | None) -> bool:
    return threshold is None or score >= threshold


def _judged(rows: Iterable[Row]) -> tuple[list[Judged], list[Judged]]:
    """Every annotated page's long and short answer, at whatever score."""
    long, short = [], []
    for row in rows:
        if row["annotations"]:
            golds = [_label(a["start"], a["end"], a["short"], a["yes_no"]) for a in row["annotations"]]
            answer = _label(row["long_start"], row["long_end"], row["short"], row["yes_no"])
            long.append(judge_long(golds, answer, row["score"]))
            short.append(judge_short(golds, answer, row["score"]))
    return long, short


def _label(start: int | None, end: int | None, short: Sequence[Row], yes_no: str) -> Label:
    long = (start, end) if start is not None and end is not None and start >= 0 else None
    return Label(long, frozenset((s["start"], s["end"]) for s in short if s["start"] >= 0), yes_no)
