"""Joint intents and slots beside Hugging Face's Trainer: one model, the same batches, side by side.

    python tests/benchmarks/joint_intents.py snips [--epochs 5 | --steps 60] [--seeds 3]

Ours is LabelUtterances; theirs BertModel with a layer on the pooled [CLS] and one on first wordpieces, on the same
examples in every step, in our order, in float32 as it comes and once more under bf16. What is timed and how says
beside_trainer.py.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
import transformers as hf
from beside_trainer import OURS, OnOurExamples, compare, options

from models.tag_schemes import OUTSIDE
from models.tasks import LabelUtterances, pad
from models.tasks.tagged_words import collate_words
from stages.text.read_intents import ReadIntents

FIGURES = ("intent_accuracy", "slot_f1", "exact_match")


def main() -> None:
    sides = (OURS, "Trainer", "Trainer, bf16")
    parser = options(__doc__, epochs=5, learning_rate=2e-4, batch=32, sides=sides)
    parser.add_argument("folder", help="folder with train and test, in each seq.in, seq.out and label")
    given = parser.parse_args()
    compare(given, ReadIntents(folder=given.folder, dev=None), LabelUtterances(), Utterances, figures=FIGURES)


class Joint(hf.BertPreTrainedModel):
    def __init__(self, config: hf.BertConfig, intents: int, tags: int) -> None:
        super().__init__(config)
        self.bert = hf.BertModel(config)
        self.dropout = torch.nn.Dropout(0.1)
        self.intent = torch.nn.Linear(config.hidden_size, intents)
        self.slots = torch.nn.Linear(config.hidden_size, tags)
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        first: torch.Tensor,
        intent: torch.Tensor,
        labels: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        encoded = self.bert(input_ids, attention_mask)
        words = encoded.last_hidden_state.gather(1, first[..., None].expand(-1, -1, self.config.hidden_size))
        intents, slots = self.intent(self.dropout(encoded.pooler_output)), self.slots(self.dropout(words))
        loss = F.cross_entropy(intents, intent) + F.cross_entropy(slots.flatten(0, 1), labels.flatten())
        return {"loss": loss, "intents": intents, "slots": slots}


class Utterances(OnOurExamples):
    sampling: ClassVar[str] = "sequential"

    def inputs_of(self, example: dict[str, Any]) -> dict[str, Any]:
        return example

    def collate(self, batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        words = collate_words(batch)
        return {
            "input_ids": pad([e["input_ids"] for e in batch], self.tokenizer.pad_token_id),
            "attention_mask": pad([np.ones(len(e["input_ids"]), np.int64) for e in batch], 0),
            "first": words["first"],
            "labels": words["tags"],
            "intent": torch.tensor([int(e["intent"]) for e in batch]),
        }

    def model(self) -> hf.PreTrainedModel:
        heads = {"intents": len(self.task.intents), "tags": len(self.task.tags)}
        return Joint.from_pretrained(self.given.encoder, **heads, dtype=torch.float32)

    def scores(self, predictions: Any) -> dict[str, float]:
        rows = []
        for example, intents, slots in zip(self.gold, *predictions, strict=True):
            predicted = [self.task.tags[i] for i in slots[: len(example["first"])].argmax(-1)]
            predicted += [OUTSIDE] * (len(example["words"]) - len(predicted))
            row = {"intent": example["gold_intent"], "tags": example["gold_tags"], "predicted_tags": predicted}
            rows.append({**row, "predicted_intent": self.task.intents[intents.argmax()]})
        return self.task.metrics(rows)


if __name__ == "__main__":
    main()
