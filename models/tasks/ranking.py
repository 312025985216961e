"""Candidates of a question in the order of their relevance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from models.encoder import Encoded
from models.sentence_head import SentenceHead
from models.tasks.segments import encode_segments
from models.tasks.task import Batch, Row, Task, collate_ids
from models.vocabulary import Vocabulary


@dataclass(frozen=True)
class RankCandidates(Task):
    """A score for each of a question's candidates, learned by a softmax over them (MT-DNN, Liu et al. 2019).

    Rows have text (the question), candidates and relevant (a truth value for each). The loss is that of every relevant
    candidate against the irrelevant ones of its question.
    """

    columns: ClassVar[tuple[str, ...]] = ("id", "text", "candidates", "relevant", "split")
    example_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("input_ids", pa.list_(pa.int32())),
            ("token_type_ids", pa.list_(pa.int8())),
            ("ends", pa.list_(pa.int32())),
            ("relevant", pa.list_(pa.int8())),
            ("length", pa.int32()),
            ("split", pa.string()),
        ]
    )
    """All candidates' ids, one after another, and where each ends."""
    prediction_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("ranking", pa.list_(pa.struct([("candidate", pa.int32()), ("probability", pa.float32())]))),
        ]
    )

    max_tokens: int = 128
    """Wordpieces of a question with one candidate; of longer ones the longer text's end is cut."""
    second_first: bool = True
    """Put the candidate before the question, as MT-DNN does."""
    dropout: float | None = None
    """Share of the pooled state dropped in training; by default what the encoder's configuration says, else 0.1."""

    def encode(self, row: Row, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
        relevant, split = row.get("relevant"), row.get("split")
        if not row["candidates"]:
            raise ValueError("no candidates")
        if relevant is not None and len(relevant) != len(row["candidates"]):
            raise ValueError(f"{len(row['candidates'])} candidates, but 'relevant' has {len(relevant)} values")
        if split in ("train", "dev") and relevant is None:
            raise ValueError("which of the candidates are relevant is not said")
        if split == "train" and not any(relevant or ()):
            raise ValueError("none of the candidates is relevant: there is nothing to learn")
        if split == "train" and all(relevant or ()):
            raise ValueError("all candidates are relevant: there is nothing to learn")
        pairs = []
        for candidate in row["candidates"]:
            texts, names = (row["text"], candidate), ("text", "candidate")
            if self.second_first:
                texts, names = texts[::-1], names[::-1]
            pairs.append(encode_segments(*texts, tokenizer, self.max_tokens, names))
        lengths = [pair["length"] for pair in pairs]
        return [
            {
                "id": row.get("id"),
                "input_ids": [i for pair in pairs for i in pair["input_ids"]],
                "token_type_ids": [t for pair in pairs for t in pair["token_type_ids"]],
                "ends": np.cumsum(lengths).tolist(),
                "relevant": [int(r) for r in relevant or ()],
                "length": max(lengths) * len(pairs),
                "split": split,
            }
        ]

    def collate(self, examples: Sequence[Row], vocabulary: Vocabulary) -> Batch:
        pairs: list[dict[str, np.ndarray]] = []
        places: list[tuple[int, int]] = []
        for question, example in enumerate(examples):
            for column, (start, end) in enumerate(zip([0, *example["ends"][:-1]], example["ends"], strict=True)):
                pairs.append({name: example[name][start:end] for name in ("input_ids", "token_type_ids")})
                places.append((question, column))
        batch = collate_ids(pairs, vocabulary)
        batch.examples = examples
        relevant_QC = torch.zeros(len(examples), max(len(e["ends"]) for e in examples), dtype=torch.bool)
        for row, example in zip(relevant_QC, examples, strict=True):
            row[: len(example["relevant"])] = torch.from_numpy(np.asarray(example["relevant"], bool))
        batch.labels = {"place": torch.tensor(places), "relevant": relevant_QC}
        batch.counts["loss"] = int(relevant_QC.sum())
        return batch

    def head(self, config: PreTrainedConfig) -> nn.Module:
        return SentenceHead(config, 1, self.dropout)

    @staticmethod
    def _scores(head: nn.Module, encoded: Encoded, batch: Batch) -> Tensor:
        """Scores [questions, candidates], -inf where a question has no more candidates."""
        scores_QC = torch.full(batch.labels["relevant"].shape, -torch.inf, device=encoded.last_BLD.device)
        return scores_QC.index_put(tuple(batch.labels["place"].T), head(encoded).squeeze(-1))

    def loss(self, head: nn.Module, encoded: Encoded, batch: Batch, totals: Mapping[str, float]) -> dict[str, Tensor]:
        scores_QC, relevant_QC = self._scores(head, encoded, batch), batch.labels["relevant"]
        others_Q = scores_QC.masked_fill(relevant_QC, -torch.inf).logsumexp(-1)
        question, column = relevant_QC.nonzero(as_tuple=True)
        mine = scores_QC[question, column]
        return {"loss": (torch.logaddexp(mine, others_Q[question]) - mine).sum() / totals["loss"]}

    def predict(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """The candidates, by number from 0, with their share of the softmax, the best first."""
        answers = []
        for example, row in zip(batch.examples, self._scores(head, encoded, batch).softmax(-1).tolist(), strict=True):
            order = sorted(range(len(example["ends"])), key=lambda i: -row[i])
            ranking = [{"candidate": i, "probability": round(row[i], 4)} for i in order]
            answers.append({"id": example["id"], "ranking": ranking})
        return answers

    def evaluate(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """The rank, from 1, of the best relevant candidate, where there are others to choose from, and how many
        candidates are judged rightly when the first alone is held to be relevant. Among equal scores the relevant one
        comes last."""
        rows: list[dict[str, Any]] = []
        for example, scores_C, relevant_C in zip(
            batch.examples, self._scores(head, encoded, batch), batch.labels["relevant"], strict=True
        ):
            n, n_relevant = len(example["relevant"]), int(relevant_C.sum())
            rank = 1 + int((scores_C[~relevant_C] >= scores_C[relevant_C].max()).sum()) if n_relevant else None
            right = n - n_relevant + (1 if rank == 1 else -1) if n else 0
            rows.append({"rank": rank if n_relevant < n else None, "pairs": n, "right": right})
        return rows

    def metrics(self, rows: Iterable[Row]) -> dict[str, float]:
        """Of questions with relevant and other candidates: how often a relevant one is first, and the mean reciprocal
        rank of the first relevant one. Of all candidates of all questions, as GLUE counts QNLI's pairs: how many are
        judged rightly when a question's first is held to be relevant and no other; one without rivals always is."""
        judged = list(rows)
        ranks, pairs = [row["rank"] for row in judged if row["rank"] is not None], sum(row["pairs"] for row in judged)
        figures = {"accuracy": sum(row["right"] for row in judged) / pairs} if pairs else {}
        if ranks:
            figures["first_is_relevant"] = sum(rank == 1 for rank in ranks) / len(ranks)
            figures["mrr"] = sum(1 / rank for rank in ranks) / len(ranks)
        return figures
