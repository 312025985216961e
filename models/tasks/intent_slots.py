"""What an utterance asks for, and with which particulars: its intent and its slots, by one model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from models.encoder import Encoded
from models.scoring.spans import span_scores, word_accuracy
from models.sentence_head import SentenceHead
from models.tag_head import UNKNOWN, TagHead
from models.tag_schemes import OUTSIDE, repair, spans_of
from models.tasks.tagged_words import collate_words, tag_numbers, terms, words_of
from models.tasks.task import Batch, Row, Task, collate_ids
from models.vocabulary import Vocabulary
from models.words import checked_pieces, window


class IntentSlotHead(nn.Module):
    """The intent from the pooled [CLS], the slots from the words' first wordpieces."""

    def __init__(self, config: PreTrainedConfig, intents: int, tags: int, crf: bool) -> None:
        super().__init__()
        self.intent = SentenceHead(config, intents)
        self.slots = TagHead(config, tags, crf)


@dataclass(frozen=True)
class LabelUtterances(Task):
    """Intent and slots of an utterance, learned together (Chen, Zhuo, Wang 2019, arXiv 1902.10909).

    Rows have words (or, to be answered, text, which is split at blanks), tags (BIO) and intent. The loss is the
    intents' mean and the slots': over words, or with a field over utterances. Words that do not fit into max_tokens
    have no slot.
    """

    columns: ClassVar[tuple[str, ...]] = ("id", "words", "tags", "intent", "split")
    example_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("words", pa.list_(pa.string())),
            ("gold_intent", pa.string()),
            ("gold_tags", pa.list_(pa.string())),
            ("input_ids", pa.list_(pa.int32())),
            ("first", pa.list_(pa.int32())),
            ("targets", pa.list_(pa.int32())),
            ("intent", pa.int32()),
            ("length", pa.int32()),
            ("split", pa.string()),
        ]
    )
    prediction_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("predicted_intent", pa.string()),
            ("probability", pa.float32()),
            ("slots", pa.list_(pa.struct([("slot", pa.string()), ("text", pa.string())]))),
            ("tagged", pa.list_(pa.struct([("word", pa.string()), ("tag", pa.string())]))),
        ]
    )
    learned: ClassVar[tuple[str, ...]] = ("intents", "tags")
    loss_terms: ClassVar[tuple[str, ...]] = ("intent", "slots")

    intents: tuple[str, ...] = ()
    """The intents; empty for those of the training rows, sorted."""
    tags: tuple[str, ...] = ()
    """The slots' tags; empty for those of the training rows, sorted."""
    crf: bool = False
    """Decode slots with a conditional random field over the words."""
    slot_weight: float = 1.0
    """Weight of the slots' loss beside the intents'."""
    max_tokens: int = 128
    """Wordpieces of an utterance, [CLS] and [SEP] included; the paper's 50 are enough for its data."""

    # ------------------------------------------------------------------------------------------- examples

    def learn(self, tables: Iterable[pa.Table]) -> Self:
        intents: set[str] = set()
        tags: set[str] = set()
        for table in tables:
            if not self.intents:
                intents.update(filter(None, table["intent"].unique().to_pylist()))
            if not self.tags:
                tags.update(tag for row in table["tags"].to_pylist() for tag in row or [])
        found = replace(self, intents=self.intents or tuple(sorted(intents)), tags=self.tags or tuple(sorted(tags)))
        if not found.intents or not found.tags:
            raise ValueError(f"the training rows have no {'tags' if found.intents else 'intents'}")
        return found

    def encode(self, row: Row, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
        words, tags, intent, split = words_of(row), row.get("tags"), row.get("intent"), row.get("split")
        intent = None if intent is None else str(intent)
        sequence = window(checked_pieces(words, tokenizer), self.max_tokens, tokenizer)
        if split in ("train", "dev"):
            if tags is None or intent is None:
                raise ValueError("it has no intent or no tags")
            if intent not in self.intents:
                raise ValueError(f"the intent '{intent}' is not among those of the training rows")
        if tags is not None and len(tags) != len(words):
            raise ValueError(f"{len(words)} words, but {len(tags)} tags")
        targets = [UNKNOWN] * len(words) if tags is None else tag_numbers(tags, self.tags, split)
        return [
            {
                "id": row.get("id"),
                "words": words,
                "gold_intent": intent,
                "gold_tags": tags,
                "input_ids": sequence.input_ids,
                "first": sequence.first,
                "targets": targets[: sequence.end],
                "intent": self.intents.index(intent) if intent in self.intents else UNKNOWN,
                "length": len(sequence.input_ids),
                "split": split,
            }
        ]

    def collate(self, examples: Sequence[Row], vocabulary: Vocabulary) -> Batch:
        batch = collate_ids(examples, vocabulary)
        batch.labels = collate_words(examples)
        batch.labels["intent"] = torch.tensor([int(e["intent"]) for e in examples])
        batch.counts = {"intent": float(len(examples)), "slots": terms(batch.labels, self.crf)}
        return batch

    # ------------------------------------------------------------------------------------------- objective

    def head(self, config: PreTrainedConfig) -> nn.Module:
        return IntentSlotHead(config, len(self.intents), len(self.tags), self.crf)

    def loss(self, head: nn.Module, encoded: Encoded, batch: Batch, totals: Mapping[str, float]) -> dict[str, Tensor]:
        assert isinstance(head, IntentSlotHead)
        intent = F.cross_entropy(head.intent(encoded), batch.labels["intent"], reduction="sum")
        slots = head.slots.loss(encoded, batch.labels)
        return {"intent": intent / totals["intent"], "slots": slots * (self.slot_weight / totals["slots"])}

    # ------------------------------------------------------------------------------------------- answers

    def predict(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """The intent with its probability, the slots with their text, and every word with its tag as valid BIO."""
        answers = []
        for example, (intent, probability, raw) in zip(batch.examples, self._decode(head, encoded, batch), strict=True):
            words, tags = example["words"], repair(raw)
            slots = [{"slot": s.label, "text": " ".join(words[s.start : s.end])} for s in spans_of(tags)]
            tagged = [{"word": word, "tag": tag} for word, tag in zip(words, tags, strict=True)]
            answer = {"id": example["id"], "predicted_intent": intent, "probability": round(probability, 4)}
            answers.append({**answer, "slots": slots, "tagged": tagged})
        return answers

    def evaluate(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        return [
            {"intent": e["gold_intent"], "tags": e["gold_tags"], "predicted_intent": intent, "predicted_tags": tags}
            for e, (intent, _, tags) in zip(batch.examples, self._decode(head, encoded, batch), strict=True)
        ]

    def _decode(self, head: nn.Module, encoded: Encoded, batch: Batch) -> list[tuple[str, float, list[str]]]:
        """Intent, its probability and tags of every utterance, as many as words."""
        assert isinstance(head, IntentSlotHead)
        best = head.intent(encoded).softmax(-1).max(-1)
        decoded = head.slots.decode(encoded, batch.labels)
        rows = zip(batch.examples, best.indices.tolist(), best.values.tolist(), decoded, strict=True)
        answers = []
        for example, intent, probability, numbers in rows:
            cut = [OUTSIDE] * (len(example["words"]) - len(numbers))
            answers.append((self.intents[intent], probability, [self.tags[n] for n in numbers] + cut))
        return answers

    def metrics(self, rows: Iterable[Row]) -> dict[str, float]:
        """Intents that are right, slots as conlleval counts them, and utterances with the right intent and all tags.

        Of the rows that have both. Labels that training never saw count as wrong, as their own strings.
        """
        rows = [row for row in rows if row["intent"] is not None and row["tags"] is not None]
        if not rows:
            return {}
        right = [row["intent"] == row["predicted_intent"] for row in rows]
        exact = [i and row["tags"] == row["predicted_tags"] for i, row in zip(right, rows, strict=True)]
        gold, predicted = [row["tags"] for row in rows], [row["predicted_tags"] for row in rows]
        return {
            "intent_accuracy": sum(right) / len(rows),
            **{f"slot_{name}": value for name, value in span_scores(gold, predicted).items()},
            "slot_accuracy": word_accuracy(gold, predicted),
            "exact_match": sum(exact) / len(rows),
        }
