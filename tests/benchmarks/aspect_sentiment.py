"""Aspect-based sentiment by auxiliary sentences beside Hugging Face's Trainer, on the same pairs.

    python tests/benchmarks/aspect_sentiment.py sentihood-train.json sentihood-test.json [--form NLI-B]

Ours is JudgeAspects; theirs AutoModelForSequenceClassification on the same examples. What is timed and how says
beside_trainer.py; the figures are those of SentiHood's rules.
"""

from __future__ import annotations

from typing import Any, get_args

import torch
import transformers as hf
from beside_trainer import OnOurExamples, compare, options

from models.tasks import JudgeAspects
from models.tasks.aspect_sentiment import Form
from stages.text.read_sentihood import ReadSentihood


def main() -> None:
    parser = options(__doc__, epochs=2, learning_rate=1e-4, batch=24)
    parser.add_argument("train", help="SentiHood's JSON to train on")
    parser.add_argument("test", help="its JSON to test on")
    parser.add_argument("--form", choices=get_args(Form), default="NLI-M", help="how the second sentence is put")
    given = parser.parse_args()
    compare(given, ReadSentihood(train=given.train, test=given.test), JudgeAspects(form=given.form), Pairs)


class Pairs(OnOurExamples):
    def inputs_of(self, example: dict[str, Any]) -> dict[str, Any]:
        encoded = {name: example[name].tolist() for name in ("input_ids", "token_type_ids")}
        return {**encoded, "labels": int(example["class"])}

    def model(self) -> hf.PreTrainedModel:
        kind, labels = hf.AutoModelForSequenceClassification, 2 if self.task.binary else len(self.task.labels)
        return kind.from_pretrained(self.given.encoder, num_labels=labels, dtype=torch.float32)

    def scores(self, predictions: Any) -> dict[str, float]:
        """The examples of a row lie together, in the order of the labels they ask for."""
        shares = torch.from_numpy(predictions).double().softmax(-1).tolist()
        names = ("id", "target", "aspect", "label")
        answers = [
            {**{name: example[name] for name in names}, "scores": row[1:] if self.task.binary else row}
            for example, row in zip(self.gold, shares, strict=True)
        ]
        size = len(self.task.labels) if self.task.binary else 1
        return self.task.metrics(self.task.join(answers[i : i + size]) for i in range(0, len(answers), size))


if __name__ == "__main__":
    main()
