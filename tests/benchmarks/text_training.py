"""Classification of texts and pairs beside Hugging Face's Trainer: the same encoder, rows, seeds and hyper-parameters.

    python tests/benchmarks/text_training.py --train sst2/train.tsv --test sst2/test.tsv --text sentence
    python tests/benchmarks/text_training.py --train rte.tsv --test dev.tsv --text sentence1 --second sentence2
    python tests/benchmarks/text_training.py --glue cola --folder glue_data

Ours is ClassifyText; theirs AutoModelForSequenceClassification, with texts cut at the same length. What is timed and
how says beside_trainer.py. GLUE's test rows have no labels: with --glue the scores are those of the dev rows.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
import transformers as hf
from beside_trainer import HuggingFace, compare, options

from models.tasks import ClassifyText
from stages.text.read_glue import GLUE, ReadGlue
from stages.text.read_table import ReadTable
from workflows.text.glue import glue_task


def main() -> None:
    parser = options(__doc__, epochs=2, learning_rate=5e-5, batch=32)
    parser.add_argument("--train", help="table of labelled texts")
    parser.add_argument("--test", help="table of labelled texts")
    parser.add_argument("--text", default="text", help="column of the text")
    parser.add_argument("--second", help="column of a pair's second text")
    parser.add_argument("--label", default="label", help="column of the label")
    parser.add_argument("--glue", choices=[name for name in GLUE if GLUE[name].labels], help="instead of tables")
    parser.add_argument("--folder", help="GLUE's, or that of the one task")
    given = parser.parse_args()
    if given.glue:
        compare(given, ReadGlue(folder=given.folder, name=given.glue), glue_task(given.glue), Labels, tested="dev")
    else:
        columns = {name: getattr(given, name) for name in ("train", "test", "text", "second", "label")}
        compare(given, ReadTable(**columns), ClassifyText(), Labels)


class Labels(HuggingFace):
    def __init__(self, given: argparse.Namespace) -> None:
        super().__init__(given)
        number = {label: i for i, label in enumerate(self.task.labels)}
        self.train = [{**self._encode(row), "labels": number[row["label"]]} for row in self.rows("train")]
        self.gold = self.rows("test")
        self.test = [self._encode(row) for row in self.gold]

    def _encode(self, row: dict[str, Any]) -> dict[str, Any]:
        return dict(self.tokenizer(row["text"], row["second"], truncation=True, max_length=self.task.max_tokens))

    def model(self) -> hf.PreTrainedModel:
        kind, labels = hf.AutoModelForSequenceClassification, len(self.task.labels)
        return kind.from_pretrained(self.given.encoder, num_labels=labels, dtype=torch.float32)

    def scores(self, predictions: Any) -> dict[str, float]:
        best = [self.task.labels[i] for i in predictions.argmax(-1)]
        rows = [{"gold": row["label"], "predicted": label} for row, label in zip(self.gold, best, strict=True)]
        return self.task.metrics(rows)


if __name__ == "__main__":
    main()
