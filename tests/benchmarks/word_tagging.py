"""Tags of words beside Hugging Face's Trainer: one tagger, the same sentences, side by side.

    python tests/benchmarks/word_tagging.py train.conllu test.conllu --word-column 1 --tag-column 3 --scheme none

Ours is TagWords; theirs AutoModelForTokenClassification with the tags on first wordpieces, on the same examples. What
is timed and how says beside_trainer.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers as hf
from beside_trainer import OnOurExamples, compare, options

from models.tag_head import UNKNOWN
from models.tasks import TagWords
from stages.text.read_conll import ReadConll


def main() -> None:
    parser = options(__doc__, epochs=4, learning_rate=3e-4, batch=32)
    parser.add_argument("train", help="column file to train on")
    parser.add_argument("test", help="column file to test on")
    parser.add_argument("--scheme", default="BIO", help="how the files mark spans: BIO, IOB1, BIOES or none")
    parser.add_argument("--word-column", type=int, default=0)
    parser.add_argument("--tag-column", type=int, default=-1)
    given = parser.parse_args()
    columns = {name: getattr(given, name) for name in ("train", "test", "scheme", "word_column", "tag_column")}
    compare(given, ReadConll(**columns), TagWords(), Tags)


class Tags(OnOurExamples):
    def inputs_of(self, example: dict[str, Any]) -> dict[str, Any]:
        labels = np.full(len(example["input_ids"]), UNKNOWN)
        labels[example["first"]] = example["targets"]
        return {"input_ids": example["input_ids"].tolist(), "labels": labels.tolist()}

    def collate(self, batch: list[dict[str, Any]]) -> Any:
        return hf.DataCollatorForTokenClassification(self.tokenizer, label_pad_token_id=UNKNOWN)(batch)

    def model(self) -> hf.PreTrainedModel:
        kind, tags = hf.AutoModelForTokenClassification, len(self.task.tags)
        return kind.from_pretrained(self.given.encoder, num_labels=tags, dtype=torch.float32)

    def scores(self, predictions: Any) -> dict[str, float]:
        rows = []
        for example, logits in zip(self.gold, predictions, strict=True):
            predicted = [self.task.tags[i] for i in logits[example["first"]].argmax(-1)]
            rows.append(self.task.join([{"gold": example["gold"], "predicted": predicted}]))
        return self.task.metrics(rows)


if __name__ == "__main__":
    main()
