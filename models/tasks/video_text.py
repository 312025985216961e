"""VideoBERT's objective: masked words, masked visual words, and whether speech and video belong together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
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
from models.tasks.task import Batch, Examples, Row, Task, others, pad
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

NEGATIVE_TRIES = 100
"""Draws for a segment of another video before a pair is left as it is (a corpus of one video has no other)."""


@dataclass(frozen=True)
class VideoText(Task):
    """VideoBERT's three regimes on segments of speech and visual words (Sun et al. 2019, section 3.3).

    text   [CLS] words [SEP]                        masked words
    video  [CLS] [>] visual words [SEP]             masked visual words
    joint  [CLS] words [>] visual words [SEP]       alignment from [CLS]; masked words of both kinds where the two match

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
    """Probability of appending the video's next segment, again and again while there is room."""
    max_step: int = 5
    """Visual words are taken at a random step from 1 to this, so that the pace of a video does not matter."""
    max_text: int = 64
    """Words (wordpieces) a sequence holds; of longer ones a random stretch."""
    max_visual: int = 48
    """Visual words a sequence holds; of longer ones a random stretch."""

    # ------------------------------------------------------------------------------------------- examples

    def most_tokens(self) -> tuple[int, tuple[str, ...]]:
        """Of the joint regime: words and visual words with [CLS], [>] and [SEP]."""
        return self.max_text + self.max_visual + 3, ("max_text", "max_visual")

    def encode(self, row: Row, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
        text = text_ids(row.get("text") or "", tokenizer)
        visual = Vocabulary.of(tokenizer).visual_ids(row.get("tokens") or [])
        if not text and not len(visual):
            raise ValueError("neither words nor visual words")
        length = min(len(text), self.max_text) + min(len(visual), self.max_visual) + 3
        names = {"video_id": row.get("video_id"), "split": row.get("split")}
        return [{"text": text, "visual": visual, "length": length, **names}]

    def draw(self, examples: Examples, index: int, rng: np.random.Generator, vocabulary: Vocabulary) -> dict[str, Any]:
        example = examples[index]
        regime = self._regime(example, rng)
        text, visual = self._with_neighbours(examples, index, example, rng)
        aligned = True
        if regime == JOINT and rng.random() < 0.5:
            other = self._other_video(examples, example, rng)
            if other is not None:
                visual, aligned = other, False
        text = stretch(text, self.max_text, rng) if regime != VIDEO else text[:0]
        visual = self._visual(visual, rng) if regime != TEXT else visual[:0]
        drawn = lay_out(text, visual, vocabulary)
        drawn |= {"regime": regime, "aligned": aligned}
        if regime != JOINT or self.mask_joint:
            drawn["positions"], drawn["targets"] = mask_words(
                drawn["input_ids"],
                np.flatnonzero(drawn["maskable"]),
                self.mask_probability,
                rng,
                vocabulary,
            )
        else:
            drawn |= {"positions": np.zeros(0, np.int64), "targets": np.zeros(0, np.int64)}
        return drawn

    def lay_out(self, example: Row, vocabulary: Vocabulary) -> dict[str, Any]:
        text, visual = np.asarray(example["text"]), np.asarray(example["visual"])
        return lay_out(text[: self.max_text], visual[: self.max_visual], vocabulary) | {"example": example}

    def _regime(self, example: Row, rng: np.random.Generator) -> int:
        weights = (self.text_weight, self.video_weight, self.joint_weight)
        has = (len(example["text"]) > 0, len(example["visual"]) > 0)
        if all(has) and weights[JOINT] and (rng.random() < self.joint_share or not (weights[TEXT] or weights[VIDEO])):
            return JOINT
        alone = [r for r in (TEXT, VIDEO) if has[r] and (weights[r] or not all(has))]
        return int(rng.choice(alone)) if alone else JOINT

    def _with_neighbours(
        self, examples: Examples, index: int, example: Row, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """The segment's words and visual words, with those of the segments after it at random (section 3.2)."""
        texts, visuals = [example["text"]], [example["visual"]]
        n_text, n_visual = len(example["text"]), len(example["visual"])
        while rng.random() < self.concatenate and index + 1 < len(examples):
            index += 1
            after = examples[index]
            n_text, n_visual = n_text + len(after["text"]), n_visual + len(after["visual"])
            same = after["video_id"] == example["video_id"] and after["split"] == example["split"]
            if not same or n_text > self.max_text or n_visual > self.max_visual:
                break
            texts.append(after["text"])
            visuals.append(after["visual"])
        return np.concatenate(texts), np.concatenate(visuals)

    @staticmethod
    def _other_video(examples: Examples, example: Row, rng: np.random.Generator) -> np.ndarray | None:
        """Visual words of a random segment of another video of the same split."""
        tries = rng.integers(len(examples), size=NEGATIVE_TRIES).tolist()
        visuals = (other["visual"] for other in others(examples, example, "video_id", tries))
        return next((visual for visual in visuals if len(visual)), None)

    def _visual(self, visual: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        step = int(rng.integers(1, min(self.max_step, len(visual)) + 1))
        return stretch(visual[int(rng.integers(step)) :: step], self.max_visual, rng)

    def collate(self, examples: Sequence[Row], vocabulary: Vocabulary) -> Batch:
        """Pads. ``labels`` holds of masked words ``position`` (in the flattened batch), ``target`` and ``term``, and of
        joint sequences ``pair`` (their rows) and ``aligned``.

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
        told = [(i, e) for i, e in enumerate(examples) if e["aligned"]]
        none = np.zeros(0, np.int64)
        positions = np.concatenate([none, *(i * length + e["positions"] for i, e in told)])
        targets = np.concatenate([none, *(e["targets"] for _, e in told)])
        regimes = np.concatenate([none, *(np.full(len(e["targets"]), e["regime"]) for _, e in told)])
        terms = regimes * 2 + (targets >= vocabulary.first_visual)
        pairs = [i for i, e in enumerate(examples) if e["regime"] == JOINT]
        batch.labels = {
            "position": torch.from_numpy(positions),
            "target": torch.from_numpy(targets.astype(np.int64)),
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
        weights = (self.text_weight, self.video_weight, self.joint_weight)
        terms = batch.labels["term"]
        assert encoded.words is not None
        log_p = encoded.words.log_p(encoded.at(batch.labels["position"]), batch.labels["target"])
        losses = {}
        for term, name in TERMS.items():
            if batch.counts[name]:
                losses[name] = -log_p[terms == term].sum() * (weights[term // 2] / totals[name])
        if batch.counts[ALIGNMENT]:
            logits = self._alignment(head, encoded, batch)
            sum_ = F.binary_cross_entropy_with_logits(logits, batch.labels["aligned"], reduction="sum")
            losses[ALIGNMENT] = sum_ * (weights[JOINT] / totals[ALIGNMENT])
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
        sums: dict[str, np.ndarray] = {}
        for row in rows:
            sums[row["term"]] = sums.get(row["term"], np.zeros(3)) + (row["n"], row["right"], row["log_p"])
        figures = {}
        for name, (n, right, log_p) in sorted(sums.items()):
            if n:
                figures[f"{name}_accuracy"] = right / n
                if name != ALIGNMENT:
                    figures[f"{name}_perplexity"] = math.exp(min(-log_p / n, 700.0))
        return figures

    def predict(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """For each example the likeliest words at its [MASK]s and, with both kinds of words, whether they match."""
        assert encoded.words is not None
        probability = torch.sigmoid(head(encoded.last_BLD[:, 0]).float().squeeze(-1)).tolist()
        answers = []
        for i, laid_out in enumerate(batch.examples):
            example, ids = laid_out["example"], laid_out["input_ids"]
            answer: dict[str, Any] = {"video_id": example["video_id"], "aligned_probability": None}
            if len(example["text"]) and len(example["visual"]):
                answer["aligned_probability"] = round(probability[i], 4)
            masks = torch.from_numpy(np.flatnonzero(ids == vocabulary.mask))
            answer["masks"] = encoded.words.likeliest(encoded.last_BLD[i, masks], vocabulary)
            answers.append(answer)
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
