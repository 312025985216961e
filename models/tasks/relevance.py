"""Whether a text answers a query: documents' sentences, passages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from models.encoder import Encoded
from models.scoring import ranking
from models.sentence_head import SentenceHead
from models.tasks.task import Batch, Row, Task, collate_ids
from models.vocabulary import Vocabulary

RELEVANT = 1
"""The class; 0 is the other."""
UNKNOWN = -1


@dataclass(frozen=True)
class JudgeRelevance(Task):
    """Whether a text is relevant to a query, by two classes on the pooled [CLS].

    Sources: Nogueira and Cho 2019, section 3; Yang, Zhang and Lin 2019, section 3.

    Rows have query, text and, for training, label (1 relevant, 0 not). Where rows of the splits dev and test have a
    query_id too, those of a query are ranked, and MRR@10 and AP are over all its queries.
    """

    columns: ClassVar[tuple[str, ...]] = ("id", "query", "text", "label", "split")
    example_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("query_id", pa.string()),
            ("input_ids", pa.list_(pa.int32())),
            ("token_type_ids", pa.list_(pa.int8())),
            ("label", pa.int32()),
            ("length", pa.int32()),
            ("split", pa.string()),
        ]
    )
    prediction_schema: ClassVar[pa.Schema] = pa.schema(
        [("id", pa.string()), ("probability", pa.float32()), ("score", pa.float32())]
    )

    judged_by: ClassVar[tuple[str, ...]] = ("query_id",)

    score: Literal["log_probability", "logit"] = "log_probability"
    """What ranks: the logarithm of the probability (passage re-ranking), or the raw logit of the class "relevant",
    which sums of sentences are made of."""
    max_query_tokens: int = 64
    """Wordpieces of a query, its [CLS] and [SEP] included; of longer ones the end is cut."""
    max_tokens: int = 512
    """Wordpieces of query and text. The text has max_tokens - query - 2 of them, as in nyu-dl/dl4marco-bert, so that
    one place stays free; of a query that leaves it none the end is cut."""

    def __post_init__(self) -> None:
        if self.max_query_tokens < 3 or self.max_tokens < 6:
            raise ValueError("max_query_tokens is 3 or more, and max_tokens 6 or more")

    # ------------------------------------------------------------------------------------------- examples

    def encode(self, row: Row, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
        label = row.get("label")
        if label not in (0, 1, "0", "1") and not (label is None and row.get("split") not in ("train", "dev")):
            raise ValueError(f"the label is {label!r}: give 1 for a relevant text, 0 for another")
        (query,), (text,) = self.query_pieces([row["query"]], tokenizer), self.text_pieces([row["text"]], tokenizer)
        for name, pieces in (("query", query), ("text", text)):
            if not len(pieces):
                raise ValueError(f"the {name} {row[name][:20]!r} has no wordpiece")
        paired = self.pair(query, text, tokenizer.cls_token_id, tokenizer.sep_token_id)
        example = {**paired, **{name: row.get(name) for name in ("id", "query_id", "split")}}
        return [example | {"label": UNKNOWN if label is None else int(label), "length": len(paired["input_ids"])}]

    def query_pieces(self, queries: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[np.ndarray]:
        """Ids of each query's wordpieces, as many as fit between [CLS] and [SEP]."""
        return _pieces(queries, tokenizer, min(self.max_query_tokens, self.max_tokens - 3) - 2)

    def text_pieces(self, texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[np.ndarray]:
        """Ids of each text's wordpieces, as many as fit beside the shortest query."""
        return _pieces(texts, tokenizer, self.max_tokens - 4)

    def pair(self, query: np.ndarray, text: np.ndarray, cls: int, sep: int) -> dict[str, np.ndarray]:
        """``[CLS] query [SEP] text [SEP]``: input_ids and token_type_ids. Wordpieces are put together, not texts, so
        that each text is cut into them once, whatever the number of queries that it is a candidate of."""
        n_query = len(query) + 2
        text = text[: self.max_tokens - n_query - 2]
        ids = np.concatenate([[cls], query, [sep], text, [sep]], dtype=np.int32)
        types = np.zeros(len(ids), np.int8)
        types[n_query:] = 1
        return {"input_ids": ids, "token_type_ids": types}

    def collate(self, examples: Sequence[Row], vocabulary: Vocabulary) -> Batch:
        batch = collate_ids(examples, vocabulary)
        if "label" in examples[0]:
            batch.labels["label"] = torch.tensor([int(e["label"]) for e in examples])
        batch.counts["loss"] = len(examples)
        return batch

    # ------------------------------------------------------------------------------------------- objective

    def head(self, config: PreTrainedConfig) -> nn.Module:
        return SentenceHead(config, 2)

    def loss(self, head: nn.Module, encoded: Encoded, batch: Batch, totals: Mapping[str, float]) -> dict[str, Tensor]:
        logits_B2: Tensor = head(encoded)
        return {"loss": F.cross_entropy(logits_B2, batch.labels["label"], reduction="sum") / totals["loss"]}

    # ------------------------------------------------------------------------------------------- answers

    def scores(self, head: nn.Module, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """Score [B] and log-probability [B] of "relevant", float32."""
        logits_B2: Tensor = head(encoded)
        log_p_B = logits_B2.log_softmax(-1)[:, RELEVANT]
        return logits_B2[:, RELEVANT] if self.score == "logit" else log_p_B, log_p_B

    def predict(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        scores_B, log_p_B = self.scores(head, encoded)
        return [
            {"id": e.get("id"), "probability": round(p, 4), "score": round(s, 5)}
            for e, p, s in zip(batch.examples, log_p_B.exp().tolist(), scores_B.tolist(), strict=True)
        ]

    def evaluate(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        scores_B, log_p_B = self.scores(head, encoded)
        return [
            {"id": e["id"], "query_id": e["query_id"], "label": int(e["label"]), "score": s, "log_p": p}
            for e, s, p in zip(batch.examples, scores_B.tolist(), log_p_B.tolist(), strict=True)
        ]

    def metrics(self, rows: Iterable[Row]) -> dict[str, float]:
        """Share of rows judged right, and over the queries MRR@10 and mean AP.

        Of a query only the relevant texts among its rows count, so AP is above the official one where the first stage
        has missed some: that is EvaluateRun's.
        """
        labelled = [row for row in rows if row["label"] != UNKNOWN]
        if not labelled:
            return {}
        right = sum((row["log_p"] > np.log(0.5)) == (row["label"] == RELEVANT) for row in labelled)
        figures = {"accuracy": right / len(labelled)}
        queries: dict[str, list[Row]] = {}
        for row in labelled:
            if row["query_id"] is not None:
                queries.setdefault(row["query_id"], []).append(row)
        ranked = {}
        for query_id, candidates in queries.items():
            ids = [row["id"] for row in candidates]
            order = ranking.trec_order(np.array([row["score"] for row in candidates]), ids)
            ranked[query_id] = [ids[i] for i in order]
        if queries:
            grades = {q: {row["id"]: row["label"] for row in candidates} for q, candidates in queries.items()}
            for name, values in ranking.measure(("MRR@10", "AP"), grades, ranked).items():
                figures[name] = sum(values.values()) / len(values)
        return figures


def _pieces(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, limit: int) -> list[np.ndarray]:
    """Ids of at most ``limit`` wordpieces of each text. Special tokens in a text are text."""
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        split_special_tokens=True,
        truncation=True,
        max_length=limit,
        return_attention_mask=False,
        return_token_type_ids=False,
    )
    return [np.asarray(ids, np.int32) for ids in encoded["input_ids"]]
