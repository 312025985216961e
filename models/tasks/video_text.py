"""VideoBERT's objective: masked words, masked visual words, and whether speech and video belong together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from models.encoder import Encoded
from models.masking import mask_words
from models.tasks.masked_words import fitting_words, hidden_words, perplexity, sums_by_term
from models.tasks.task import Batch, Examples, Row, Task, is_filled, pad
from models.vocabulary import Vocabulary

TEXT, VIDEO, JOINT = range(3)
REGIMES = ("text", "video", "joint")
WORD, VISUAL = range(2)
MODALITIES = ("word", "visual")

TERMS = {
    2 * regime + modality: f"{REGIMES[regime]}/{MODALITIES[modality]}"
    for regime, modality in ((TEXT, WORD), (VIDEO, VISUAL), (JOINT, WORD), (JOINT, VISUAL))
}
"""The parts of the loss with a target word, by regime * 2 + kind of word."""
ALIGNMENT = "joint/alignment"

SPOKEN = ("text", "visual")
"""What a segment has that begins a pair: one without speech begins none, so none that does not match either."""


@dataclass(frozen=True)
class VideoText(Task):
    """VideoBERT's three regimes on segments of speech and visual words (Sun et al. 2019, section 3.3).

    text   [CLS] words [SEP]                        masked words
    video  [CLS] [>] visual words [SEP]             masked visual words
    joint  [CLS] words [>] visual words [SEP]       alignment from [CLS]; masked words of both kinds where the two match

    Half of the pairs do not match: they have as many visual words of another video's sentences. Where it has no other,
    alignment is not asked.

    The loss is the weighted sum of the regimes' means over the global batch.
    """

    columns: ClassVar[tuple[str, ...]] = ("video_id", "text", "tokens", "split")
    example_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("video_id", pa.string()),
            ("text", pa.list_(pa.int32())),
            ("visual", pa.list_(pa.int32())),
            ("length", pa.int32()),
            ("split", pa.string()),
        ]
    )
    prediction_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("video_id", pa.string()),
            ("aligned_probability", pa.float32()),
            ("masks", pa.list_(pa.list_(pa.struct([("word", pa.string()), ("probability", pa.float32())])))),
        ]
    )
    masked_lm: ClassVar[bool] = True
    loss_terms: ClassVar[tuple[str, ...]] = (*TERMS.values(), ALIGNMENT)

    text_weight: float = 1.0
    """Weight of the text-only regime; 0 leaves it out."""
    video_weight: float = 1.0
    """Weight of the video-only regime; 0 leaves it out."""
    joint_weight: float = 1.0
    """Weight of the joint regime; 0 leaves it out."""
    joint_share: float = 0.6
    """How often a segment with both speech and video is shown jointly; else one of the two alone."""
    mask_joint: bool = True
    """Whether words and visual words are masked in the joint regime too, as in the paper's figure 3."""
    mask_probability: float = 0.15
    """Share of a sequence's words and visual words to predict; 80 % of them masked, 10 % random, 10 % kept."""
    concatenate: float = 0.5
    """Probability of appending the video's next sentence, again and again while there is room; in the video-only regime
    its next segment."""
    max_step: int = 5
    """Visual words are taken at a random step from 1 to this, so that the pace of a video does not matter."""
    max_text: int = 64
    """Words (wordpieces) a sequence holds; of longer ones a random stretch."""
    max_visual: int = 48
    """Visual words a sequence holds; of longer ones a random stretch."""

    def __post_init__(self) -> None:
        if not (min(self._weights) >= 0 and 0 < sum(self._weights) < math.inf):
            raise ValueError("text_weight, video_weight and joint_weight must be 0 or more, and not all of them 0")
        if not 0 < self.mask_probability <= 1:
            raise ValueError("mask_probability must be more than 0 and at most 1")
        if not (0 <= self.joint_share <= 1 and 0 <= self.concatenate <= 1):
            raise ValueError("joint_share and concatenate must lie between 0 and 1")
        if min(self.max_step, self.max_text, self.max_visual) < 1:
            raise ValueError("max_step, max_text and max_visual must be at least 1")

    @property
    def _weights(self) -> tuple[float, float, float]:
        """By regime."""
        return self.text_weight, self.video_weight, self.joint_weight

    # ------------------------------------------------------------------------------------------- examples

    def most_tokens(self) -> tuple[int, tuple[str, ...]]:
        """Of the joint regime: words and visual words with [CLS], [>] and [SEP]."""
        return self.max_text + self.max_visual + 3, ("max_text", "max_visual")

    def encode(self, row: Row, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
        text = text_ids(row.get("text") or "", tokenizer)
        if tokenizer.mask_token_id in text[self.max_text :]:
            raise ValueError(f"a [MASK] stands behind the first {self.max_text} wordpieces, which are all that is read")
        visual = Vocabulary.of(tokenizer).visual_ids(row.get("tokens") or [])
        if not text and not len(visual):
            raise ValueError("neither words nor visual words")
        length = min(len(text), self.max_text) + min(len(visual), self.max_visual) + 3
        names = {"video_id": row.get("video_id"), "split": row.get("split")}
        return [{"text": text, "visual": visual, "length": length, **names}]

    def seen(self, examples: pa.Table) -> np.ndarray:
        """All that a regime with a weight is for."""
        text, visual = is_filled(examples["text"]), is_filled(examples["visual"])
        kinds = (text, visual, text & visual)
        weighed = [kind for kind, weight in zip(kinds, self._weights, strict=True) if weight]
        found: np.ndarray = np.logical_or.reduce(weighed)
        return found

    def draw(self, examples: Examples, index: int, rng: np.random.Generator, vocabulary: Vocabulary) -> dict[str, Any]:
        example = examples[index]
        regime = self._regime(example, rng)
        text, visual = self._with_neighbours(examples, index, example, regime, rng)
        aligned = None
        if regime == JOINT and (other := examples.other(index, "video_id", rng, SPOKEN)) is not None:
            aligned = bool(rng.random() < 0.5)
            visual = visual if aligned else visual_words(examples, other, len(visual))
        text = stretch(text, self.max_text, rng) if regime != VIDEO else text[:0]
        visual = self._visual(visual, rng) if regime != TEXT else visual[:0]
        drawn = lay_out(text, visual, vocabulary)
        drawn |= {"regime": regime, "aligned": aligned}
        if regime != JOINT or self.mask_joint:
            maskable = np.flatnonzero(drawn["maskable"])
            n = self.mask_probability * len(maskable)
            drawn["positions"], drawn["targets"] = mask_words(drawn["input_ids"], maskable, n, rng, vocabulary)
        else:
            drawn |= {"positions": np.zeros(0, np.int64), "targets": np.zeros(0, np.int64)}
        return drawn

    def lay_out(self, example: Row, vocabulary: Vocabulary) -> dict[str, Any]:
        text, visual = np.asarray(example["text"]), np.asarray(example["visual"])
        return lay_out(text[: self.max_text], visual[: self.max_visual], vocabulary) | {"example": example}

    def _regime(self, example: Row, rng: np.random.Generator) -> int:
        has = (len(example["text"]) > 0, len(example["visual"]) > 0)
        alone = [regime for regime in (TEXT, VIDEO) if has[regime] and self._weights[regime]]
        if not alone or (all(has) and self.joint_weight and rng.random() < self.joint_share):
            return JOINT
        return alone[int(rng.integers(len(alone)))]

    def _with_neighbours(
        self, examples: Examples, index: int, example: Row, regime: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """The segment's words and visual words, with those after it at random: of sentences (section 3.2), and without
        speech of all segments."""
        texts, visuals = [example["text"]], [example["visual"]]
        n_text, n_visual = len(example["text"]), len(example["visual"])
        following = neighbours(examples, index, 1, spoken=regime != VIDEO)
        while rng.random() < self.concatenate and (after := next(following, None)):
            n_text, n_visual = n_text + len(after["text"]), n_visual + len(after["visual"])
            if n_text > self.max_text or n_visual > self.max_visual:
                break
            texts.append(after["text"])
            visuals.append(after["visual"])
        return np.concatenate(texts), np.concatenate(visuals)

    def _visual(self, visual: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        step = int(rng.integers(1, min(self.max_step, len(visual)) + 1))
        return stretch(visual[int(rng.integers(step)) :: step], self.max_visual, rng)

    def collate(self, examples: Sequence[Row], vocabulary: Vocabulary) -> Batch:
        """Pads. ``labels`` holds of masked words ``position`` (in the flattened batch), ``target`` and ``term``, and of
        pairs that may or may not match ``pair`` (their rows) and ``aligned``.

        What is masked in a pair that does not match is not to be predicted: the video says nothing of its words.
        """
        input_ids = pad([e["input_ids"] for e in examples], vocabulary.pad)
        batch = Batch(
            input_ids,
            pad([np.ones(len(e["input_ids"]), np.int64) for e in examples], 0),
            pad([e["token_type_ids"] for e in examples], 0),
            examples=examples,
        )
        if "positions" not in examples[0]:
            return batch
        length = input_ids.shape[1]
        told = [(i, e) for i, e in enumerate(examples) if e["aligned"] is not False]
        hidden = hidden_words(told, length)
        regimes = np.concatenate([np.zeros(0, np.int64), *(np.full(len(e["targets"]), e["regime"]) for _, e in told)])
        terms = regimes * 2 + (hidden["target"].numpy() >= vocabulary.first_visual)
        pairs = [i for i, e in enumerate(examples) if e["aligned"] is not None]
        batch.labels = {
            **hidden,
            "term": torch.from_numpy(terms),
            "pair": torch.tensor(pairs, dtype=torch.int64),
            "aligned": torch.tensor([float(examples[i]["aligned"]) for i in pairs]),
        }
        batch.counts = {name: float((terms == term).sum()) for term, name in TERMS.items()}
        batch.counts[ALIGNMENT] = float(len(pairs))
        return batch

    # ------------------------------------------------------------------------------------------- objective

    def head(self, config: PreTrainedConfig) -> nn.Module:
        """The alignment classifier on the final [CLS] state: one logit."""
        head = nn.Linear(config.hidden_size, 1)
        nn.init.normal_(head.weight, std=0.02)
        nn.init.zeros_(head.bias)
        return head

    def loss(self, head: nn.Module, encoded: Encoded, batch: Batch, totals: Mapping[str, float]) -> dict[str, Tensor]:
        terms = batch.labels["term"]
        assert encoded.words is not None
        log_p = encoded.words.log_p(encoded.at(batch.labels["position"]), batch.labels["target"])
        losses = {}
        for term, name in TERMS.items():
            if batch.counts[name]:
                losses[name] = -log_p[terms == term].sum() * (self._weights[term // 2] / totals[name])
        if batch.counts[ALIGNMENT]:
            logits = self._alignment(head, encoded, batch)
            sum_ = F.binary_cross_entropy_with_logits(logits, batch.labels["aligned"], reduction="sum")
            losses[ALIGNMENT] = sum_ * (self.joint_weight / totals[ALIGNMENT])
        return losses

    @staticmethod
    def _alignment(head: nn.Module, encoded: Encoded, batch: Batch) -> Tensor:
        cls_pD: Tensor = encoded.last_BLD[batch.labels["pair"], 0]
        logits: Tensor = head(cls_pD)
        return logits.float().squeeze(-1)

    # ------------------------------------------------------------------------------------------- answers

    def evaluate(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """A row for each part of the loss: how many, how many right, their summed log-probability."""
        assert encoded.words is not None
        log_p, right = encoded.words.scored(encoded.at(batch.labels["position"]), batch.labels["target"])
        rows = []
        for term, name in TERMS.items():
            mine = batch.labels["term"] == term
            rows.append(
                {"term": name, "n": int(mine.sum()), "right": int(right[mine].sum()), "log_p": float(log_p[mine].sum())}
            )
        logits, aligned = self._alignment(head, encoded, batch), batch.labels["aligned"]
        rows.append(
            {
                "term": ALIGNMENT,
                "n": len(aligned),
                "right": int(((logits > 0) == (aligned > 0.5)).sum()),
                "log_p": -float(F.binary_cross_entropy_with_logits(logits, aligned, reduction="sum")),
            }
        )
        return rows

    def metrics(self, rows: Iterable[Row]) -> dict[str, float]:
        """Per regime: accuracy and perplexity of masked words and of masked visual words; accuracy of the alignment."""
        figures = {}
        for name, (n, right, log_p) in sorted(sums_by_term(rows).items()):
            figures[f"{name}_accuracy"] = right / n
            if name != ALIGNMENT:
                figures[f"{name}_perplexity"] = perplexity(n, log_p)
        return figures

    def predict(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """For each example the likeliest words at its [MASK]s and, with both kinds of words, whether they match."""
        probability = torch.sigmoid(head(encoded.last_BLD[:, 0]).float().squeeze(-1)).tolist()
        words = fitting_words(encoded, batch, vocabulary)
        answers = []
        for laid_out, p, masks in zip(batch.examples, probability, words, strict=True):
            example = laid_out["example"]
            of_both = len(example["text"]) and len(example["visual"])
            aligned = round(p, 4) if of_both else None
            answers.append({"video_id": example["video_id"], "aligned_probability": aligned, "masks": masks})
        return answers


def text_ids(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Wordpieces of a text. ``[MASK]`` is a place to fill; the other special tokens are text like any other."""
    ids: list[int] = []
    for i, piece in enumerate(text.split(tokenizer.mask_token)):
        ids += [tokenizer.mask_token_id] if i else []
        ids += tokenizer(piece, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return ids


def stretch(ids: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """A random stretch of at most ``length``."""
    if len(ids) <= length:
        return ids
    start = int(rng.integers(len(ids) - length + 1))
    return ids[start : start + length]


def neighbours(examples: Examples, index: int, step: int, spoken: bool) -> Iterator[Row]:
    """The segments after (``step`` 1) or before (-1) the one at ``index``, one by one, to the end of its video; with
    ``spoken`` its sentences alone."""
    here = examples[index]
    while 0 <= (index := index + step) < len(examples):
        segment = examples[index]
        if segment["video_id"] != here["video_id"] or segment["split"] != here["split"]:
            return
        if len(segment["text"]) or not spoken:
            yield segment


def visual_words(examples: Examples, index: int, n: int) -> np.ndarray:
    """``n`` visual words of a video's sentences from the one at ``index`` on; where it ends too early, of those before
    as well, and fewer where it has no more."""
    ids: np.ndarray = examples[index]["visual"]
    following, before = (neighbours(examples, index, step, spoken=True) for step in (1, -1))
    while len(ids) < n and (segment := next(following, None)):
        ids = np.concatenate([ids, segment["visual"]])
    if len(ids) >= n:
        return ids[:n]
    while len(ids) < n and (segment := next(before, None)):
        ids = np.concatenate([segment["visual"], ids])
    return ids[-n:]


def lay_out(text: np.ndarray, visual: np.ndarray, vocabulary: Vocabulary) -> dict[str, Any]:
    """``[CLS] text [>] visual [SEP]`` without what is absent: ids, segment ids (1 from ``[>]`` on), what to mask."""
    join = [vocabulary.join] if len(visual) else []
    ids = np.concatenate([[vocabulary.cls], text, join, visual, [vocabulary.sep]]).astype(np.int64)
    n_text = 1 + len(text) if len(visual) else len(ids)
    maskable = np.ones(len(ids), bool)
    maskable[[0, -1]] = False
    if join:
        maskable[n_text] = False
    return {"input_ids": ids, "token_type_ids": (np.arange(len(ids)) >= n_text).astype(np.int64), "maskable": maskable}
