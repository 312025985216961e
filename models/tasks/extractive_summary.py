"""Extractive summaries: which sentences of a document to keep."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from models.encoder import Encoded
from models.oracle_summary import greedy_oracle
from models.scoring.rouge import ROUGE, rouge
from models.sentence_windows import best_windows, cut_windows
from models.summary_layers import summary_layer
from models.tasks.task import Batch, Row, Task, pad
from models.vocabulary import Vocabulary

REFERENCE_SENTENCES = 100
"""Sentences of a document that nlpyang/BertSum looks at."""
REFERENCE_FEWEST = 3
"""Sentences a document must have there."""
SYSTEMS = ("", "lead_", "oracle_")
"""What is measured: the model's summary, the document's first sentences, the greedy oracle's sentences."""

Number = pa.list_(pa.int32())


@dataclass(frozen=True)
class ExtractiveSummary(Task):
    """BERTSUM: a score for every sentence of a document, the best of them are its summary (Liu 2019, arXiv 1903.10318).

    [CLS] sentence 1 [SEP] [CLS] sentence 2 [SEP] …, segments A and B in turn, a score from each sentence's [CLS].

    A document is one example of any length. One that is longer than the encoder's positions is read in windows of whole
    sentences that overlap, all in one batch; every sentence's vector comes from the window that shows most around it,
    and the summarization layer sees the vectors of the whole document in order. So the encoder stays as it was
    pretrained, no position is learned from a few long documents, and nothing is cut off.
    """

    columns: ClassVar[tuple[str, ...]] = ("id", "sentences", "summary", "split")
    example_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("input_ids", Number),  # the windows, one after another
            ("windows", Number),  # their lengths
            ("starts", Number),  # of each sentence kept: where its [CLS] is among input_ids
            ("kept", Number),  # which sentence of the document that is
            ("labels", Number),  # whether the oracle takes it
            ("sentences", pa.list_(pa.string())),
            ("summary", pa.list_(pa.string())),
            ("lead", pa.list_(pa.float32())),  # ROUGE of the first sentences and of the oracle's, not of training rows
            ("oracle", pa.list_(pa.float32())),
            ("length", pa.int32()),
            ("split", pa.string()),
        ]
    )
    prediction_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("summary", pa.list_(pa.string())),
            ("chosen", Number),
            ("probability", pa.list_(pa.float32())),
        ]
    )

    layer: Literal["linear", "transformer", "lstm"] = "transformer"
    """The summarization layer: every sentence by itself, a Transformer over a document's sentences, or an LSTM."""
    sentences: int = 3
    """Sentences of a summary, of the lead and of the oracle that a summary is compared with."""
    oracle_sentences: int = 3
    """Sentences that the oracle may label. More than ``sentences`` where the summaries to learn from are longer."""
    trigram_blocking: bool = True
    """Leave out a sentence that has three words in a row in common with one that is better."""
    shortest: int = 6
    """Words a sentence must have to be read and chosen."""
    longest: int = 200
    """Words of a sentence that are read."""
    max_tokens: int = 512
    """Positions of a window, at most the encoder's."""
    stride: int = 256
    """Positions from one window to the next; those they share are the context of both."""
    faithful: bool = False
    """As nlpyang/BertSum does: of a document one window and at most 100 sentences are read, the rest is cut off, also
    within a sentence; documents of fewer than three sentences are refused; the oracle chooses among all sentences, also
    those that are not read, whose labels are lost; the lead is the first sentences of those that are read; a summary's
    sentences come in the order of their scores and not of the document; words to block by are what stands between
    blanks."""

    def __post_init__(self) -> None:
        if min(self.sentences, self.oracle_sentences, self.shortest, self.longest, self.stride) < 1:
            raise ValueError("sentences, oracle_sentences, shortest, longest and stride must be at least 1")
        if self.max_tokens < 3:
            raise ValueError("max_tokens must be at least 3")

    # ------------------------------------------------------------------------------------------- examples

    def encode(self, row: Row, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
        texts, summary, split = lines(row["sentences"]), lines(row.get("summary")), row.get("split")
        if not summary and split in ("train", "dev"):
            raise ValueError("it has no summary to learn from")
        kept = [i for i, text in enumerate(texts) if len(text.split()) >= self.shortest]
        kept = kept[: REFERENCE_SENTENCES if self.faithful else None]
        if not kept:
            raise ValueError(f"none of its {len(texts)} sentences has {self.shortest} words or more")
        if self.faithful and len(kept) < REFERENCE_FEWEST:
            raise ValueError(f"{len(kept)} sentences of {self.shortest} words or more; the reference needs three")
        eligible = range(len(texts)) if self.faithful else kept
        order = [eligible[i] for i in greedy_oracle([texts[i] for i in eligible], summary, self.oracle_sentences)]
        ids, windows, starts = self._lay_out([texts[i] for i in kept], tokenizer)
        kept = kept[: len(starts)]
        example = {
            "id": row.get("id"),
            "input_ids": ids,
            "windows": windows,
            "starts": starts,
            "kept": kept,
            "labels": [int(i in order) for i in kept],
            "sentences": texts,
            "summary": summary,
            "lead": [],
            "oracle": [],
            "length": len(ids),
            "split": split,
        }
        if summary and split in ("dev", "test"):
            lead = kept if self.faithful else range(len(texts))
            oracle = sorted([i for i in order if i in kept][: self.sentences])
            for name, chosen in (("lead", lead[: self.sentences]), ("oracle", oracle)):
                example[name] = list(rouge([texts[i] for i in chosen], summary).values())
        return [example]

    def _lay_out(
        self, texts: Sequence[str], tokenizer: PreTrainedTokenizerBase
    ) -> tuple[list[int], list[int], list[int]]:
        """Ids of the windows in a row, their lengths, and where among the ids the [CLS] of each sentence is."""
        texts = [" ".join(text.split()[: self.longest]) for text in texts]
        pieces = tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        cls, sep = [tokenizer.cls_token_id], [tokenizer.sep_token_id]
        sentences = [cls + p[: self.max_tokens - 2] + sep for p in pieces]
        lengths = list(map(len, sentences))
        if self.faithful:
            ids = list(chain.from_iterable(sentences))
            starts = [start for start in accumulate(lengths[:-1], initial=0) if start < self.max_tokens - 1]
            ids = ids[: self.max_tokens - 1] + sep if len(ids) > self.max_tokens else ids
            return ids, [len(ids)], starts
        windows = cut_windows(lengths, self.max_tokens, self.stride)
        ids = []
        places: list[dict[int, int]] = []
        for first, end in windows:
            places.append({})
            for sentence in range(first, end):
                places[-1][sentence] = len(ids)
                ids += sentences[sentence]
        starts = [places[window][sentence] for sentence, window in enumerate(best_windows(lengths, windows))]
        return ids, [sum(lengths[first:end]) for first, end in windows], starts

    def collate(self, examples: Sequence[Row], vocabulary: Vocabulary) -> Batch:
        """A window a row. ``labels`` holds for every sentence ``at`` (where its [CLS] is in the flattened batch) and,
        shape [documents, most sentences], ``sentence`` (true where there is one) and ``label``."""
        windows, at, before = [], [], 0
        lengths = [n for e in examples for n in e["windows"]]
        longest = max(lengths)
        for example in examples:
            ends = np.cumsum(example["windows"])
            windows += np.split(np.asarray(example["input_ids"]), ends[:-1])
            starts = np.asarray(example["starts"])
            row = np.searchsorted(ends, starts, side="right")
            at.append((before + row) * longest + starts - (ends - example["windows"])[row])
            before += len(ends)
        segments = [(np.cumsum(w == vocabulary.cls) - 1) % 2 for w in windows]
        labels = pad([np.asarray(e["labels"]) for e in examples], -1)
        batch = Batch(
            pad(windows, vocabulary.pad),
            pad([np.ones(len(w), np.int64) for w in windows], 0),
            pad(segments, 0),
            {"at": torch.from_numpy(np.concatenate(at)), "sentence": labels >= 0, "label": labels.clamp(min=0).float()},
            examples=examples,
        )
        batch.counts["loss"] = float(batch.labels["sentence"].sum())
        return batch

    # ------------------------------------------------------------------------------------------- objective

    def head(self, config: PreTrainedConfig) -> nn.Module:
        return summary_layer(self.layer, config.hidden_size, dropout=0.1)

    @staticmethod
    def _logits(head: nn.Module, encoded: Encoded, batch: Batch) -> Tensor:
        """A logit for every place of [documents, most sentences]."""
        found = encoded.last_BLD.flatten(0, 1)[batch.labels["at"]]
        mask = batch.labels["sentence"]
        vectors = found.new_zeros(*mask.shape, found.shape[-1], dtype=torch.float32)
        vectors[mask] = found.float()
        # Sentences are ranked by more than bf16's three digits.
        with torch.autocast(vectors.device.type, enabled=False):
            logits: Tensor = head(vectors, mask)
        return logits

    def loss(self, head: nn.Module, encoded: Encoded, batch: Batch, totals: Mapping[str, float]) -> dict[str, Tensor]:
        logits, mask = self._logits(head, encoded, batch), batch.labels["sentence"]
        sum_ = F.binary_cross_entropy_with_logits(logits[mask], batch.labels["label"][mask], reduction="sum")
        return {"loss": sum_ / totals["loss"]}

    # ------------------------------------------------------------------------------------------- answers

    def predict(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """The sentences of each document's summary, where they are in it, and how probable each is."""
        answers = []
        for example, logits in zip(batch.examples, self._logits(head, encoded, batch), strict=True):
            kept = np.asarray(example["kept"])
            probability = dict(zip(kept.tolist(), logits[: len(kept)].sigmoid().tolist(), strict=True))
            ranked = sorted(probability, key=lambda i: -probability[i])
            chosen = self.choose(ranked, example["sentences"])
            texts = [example["sentences"][i] for i in chosen]
            probabilities = [round(probability[i], 4) for i in chosen]
            answers.append({"id": example["id"], "summary": texts, "chosen": chosen, "probability": probabilities})
        return answers

    def choose(self, ranked: Sequence[int], texts: Sequence[str]) -> list[int]:
        """The sentences to keep of those in ``ranked``, the best first."""
        words = re.compile(r"\S+" if self.faithful else r"\w+")
        chosen: list[int] = []
        seen: set[tuple[str, ...]] = set()
        for sentence in ranked:
            if len(chosen) == self.sentences:
                break
            trigrams = trigrams_of(words.findall(texts[sentence].lower()))
            if not self.trigram_blocking or not trigrams & seen:
                chosen.append(sentence)
                seen |= trigrams
        return chosen if self.faithful else sorted(chosen)

    def evaluate(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """The ROUGE figures of every document that has a summary: of the model, the lead and the oracle."""
        rows = []
        for example, answer in zip(batch.examples, self.predict(head, encoded, batch, vocabulary), strict=True):
            if len(example["lead"]):
                figures = {"": list(rouge(answer["summary"], example["summary"]).values())}
                figures |= {"lead_": example["lead"], "oracle_": example["oracle"]}
                named = {s + name: float(v) for s in SYSTEMS for name, v in zip(ROUGE, figures[s], strict=True)}
                rows.append({"id": example["id"], **named})
        return rows

    def metrics(self, rows: Iterable[Row]) -> dict[str, float]:
        """The documents' mean ROUGE-1, ROUGE-2 and ROUGE-Lsum F, of the model, the lead and the oracle."""
        documents = list(rows)
        if not documents:
            return {}
        names = [system + name for system in SYSTEMS for name in ROUGE]
        return {name: float(np.mean([row[name] for row in documents])) for name in names}


def lines(text: str | Sequence[str] | None) -> list[str]:
    """Sentences, given as a list or as a text of a sentence a line, without blank ones."""
    sentences = text.splitlines() if isinstance(text, str) else text or []
    return [s.strip() for s in sentences if s.strip()]


def trigrams_of(words: Sequence[str]) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + 3]) for i in range(len(words) - 2)}
