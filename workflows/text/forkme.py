"""A template: a whole recipe in one file, to be copied and changed. Here it labels sentences.

Paper    name, authors, arXiv number: what the recipe reproduces
Command  videobert run text.forkme --folder trec/ --seeds 3
Cost     TREC-6 (5,452 questions) with the small BERT of the extra "demo": five minutes on two cores
Expect   there, an accuracy of about 0.96

A recipe has three parts. The reader is a stage that turns the field's files into rows, the task says everything that
sets the recipe apart, the graph joins them; encoding, training, evaluating and predicting are stages that all recipes
share. A recipe worth keeping moves its task to models/tasks/<name>.py and its reader to stages/text/read_<name>.py;
CONTRIBUTING.md says how.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from models.encoder import Encoded
from models.sentence_head import SentenceHead
from models.tasks import Batch, Row, Task, collate_ids, label_of
from models.tasks.segments import encode_segments
from models.vocabulary import Vocabulary
from pipeline import Artifact, Executor, Graph, Rejected, Stage, UserError
from pipeline.store import listing_digest
from stages.text.split_files import SPLITS, Item, PartReader, as_parts, numbered_lines
from stages.train import Train
from workflows.text.finetune import finetune, report

__all__ = ["graph", "report"]  # `report` prints the table of figures after a run

# ---------------------------------------------------------------------------------------------------- the reader


@dataclass(frozen=True, kw_only=True)
class ReadLabelledLines(Stage):
    """Read files of labelled sentences: below a header, a sentence, a tab and its label a line.

    Out  id str (file:line), text str, label str, split str ("train" | "dev" | "test")
    """

    # One artifact holds all splits. The schema is checked against what later nodes read before anything runs.
    writes: ClassVar[pa.Schema] = pa.schema([(name, pa.string()) for name in ("id", "text", "label", "split")])

    # Fields that name files: `trec` and `./trec/` are one key.
    paths: ClassVar[frozenset[str]] = frozenset({"folder"})

    # Every field is part of the artifact's key: another value makes another artifact. The docstring is its --help.
    folder: str
    """Folder with train.tsv and, where there are any, dev.tsv and test.tsv."""

    def files(self) -> dict[str, Path]:
        paths = {split: Path(self.folder) / f"{split}.tsv" for split in SPLITS}
        return {split: path for split, path in paths.items() if split == "train" or path.exists()}

    def fingerprint(self) -> str:
        return listing_digest(self.files().values())  # called before any work: a missing file is said at once

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        # Parts of a thousand rows are read in parallel, by a PartReader that each worker makes for itself.
        read = partial(PartReader, labelled_lines, self.writes)
        executor.map(read, as_parts(self.files(), labelled_lines), out, schema=self.writes)


def labelled_lines(path: Path, split: str) -> Iterator[Item]:
    """The rows of a file, each by itself."""
    for number, line in islice(numbered_lines(path), 1, None):  # below the header
        id_ = f"{path.name}:{number}"
        text, tab, label = (line or "").strip().rpartition("\t")
        if tab:
            yield [{"id": id_, "text": text, "label": label, "split": split}]
        else:  # a bad row is a line in errors.parquet, with what to do about it; it never stops a run
            yield [
                Rejected(id_, "save the file as UTF-8" if line is None else "expected a sentence, a tab and a label")
            ]


# ---------------------------------------------------------------------------------------------------- the task


@dataclass(frozen=True)
class LabelSentences(Task):
    """One label a sentence, by a linear layer on BERT's pooled [CLS] (Devlin et al. 2019, section 4.1)."""

    columns: ClassVar[tuple[str, ...]] = ("id", "text", "label", "split")
    example_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("input_ids", pa.list_(pa.int32())),
            ("token_type_ids", pa.list_(pa.int8())),
            ("label", pa.int32()),
            ("gold", pa.string()),
            ("length", pa.int32()),  # groups like lengths
            ("split", pa.string()),
        ]
    )
    prediction_schema: ClassVar[pa.Schema] = pa.schema(
        [("id", pa.string()), ("predicted", pa.string()), ("probability", pa.float32())]
    )
    learned: ClassVar[tuple[str, ...]] = ("labels",)

    labels: tuple[str, ...] = ()
    """The labels; empty for those of the training rows, sorted."""
    max_tokens: int = 128
    """Wordpieces a sentence may have, with [CLS] and [SEP]; longer ones are cut."""

    # Encode calls it with the rows of the training split, and every later stage knows what came out.
    def learn(self, tables: Iterable[pa.Table]) -> LabelSentences:
        if self.labels:
            return self
        return replace(self, labels=tuple(sorted({label for table in tables for label in table["label"].to_pylist()})))

    # Once a row, in parallel, on disk. ValueError makes an error row of it. New rows (videobert predict) have no label.
    def encode(self, row: Row, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
        gold, split = label_of(row), row.get("split")
        if gold not in self.labels and split in ("train", "dev"):
            raise ValueError(f"the label '{gold}' is not among the training rows' ({', '.join(self.labels)})")
        segments = encode_segments(row["text"], None, tokenizer, self.max_tokens)  # input_ids, token_type_ids, length
        label = self.labels.index(gold) if gold in self.labels else -1
        return [{"id": row.get("id"), **segments, "label": label, "gold": gold, "split": split}]

    # `draw` may change what training sees of an example (masks, negatives), `lay_out` what prediction sees.

    def collate(self, examples: Sequence[Row], vocabulary: Vocabulary) -> Batch:
        batch = collate_ids(examples, vocabulary)
        batch.labels["label"] = torch.tensor([e["label"] for e in examples], dtype=torch.long)
        batch.counts["loss"] = len(examples)  # the loop adds them up over the whole global batch
        return batch

    def head(self, config: PreTrainedConfig) -> nn.Module:
        return SentenceHead(config, len(self.labels))  # any module that makes logits of what the encoder says

    # A sum divided by the global count, never a mean: a batch may be cut in any way and the gradient stays the same.
    def loss(self, head: nn.Module, encoded: Encoded, batch: Batch, totals: Mapping[str, float]) -> dict[str, Tensor]:
        return {"loss": F.cross_entropy(head(encoded), batch.labels["label"], reduction="sum") / totals["loss"]}

    # What a user reads, also from `videobert predict MODEL_DIR rows.jsonl`.
    def predict(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        best = head(encoded).softmax(-1).max(-1)
        answers = zip(batch.examples, best.indices.tolist(), best.values.tolist(), strict=True)
        return [{"id": e["id"], "predicted": self.labels[i], "probability": p} for e, i, p in answers]

    # What the figures need: a row an example, or a sum a batch, as long as it is plain JSON.
    def evaluate(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        answers = self.predict(head, encoded, batch, vocabulary)
        return [{"gold": e["gold"], "answer": a["predicted"]} for e, a in zip(batch.examples, answers, strict=True)]

    def metrics(self, rows: Iterable[Row]) -> dict[str, float]:
        right = Counter(row["gold"] == row["answer"] for row in rows if row["gold"] is not None)
        return {"accuracy": right[True] / right.total()} if right else {}


# ---------------------------------------------------------------------------------------------------- the graph


def graph(
    folder: str,
    encoder: str = "google-bert/bert-base-uncased",
    seeds: int = 1,
    train: Train = Train(task=LabelSentences(), epochs=4, global_batch_size=32, learning_rate=1e-4),
) -> Graph:
    """From files of labelled sentences to a trained classifier and its accuracy.

    Args:
        folder: Folder with train.tsv, dev.tsv and test.tsv: a sentence, a tab, the label.
        encoder: BERT-type encoder: a name on the hub or a directory.
        seeds: Training runs, of which the table shows mean and spread.
        train: The training run, and with it the task.
    """
    if not Path(folder).is_dir():
        raise UserError(f"{folder}: no such folder")
    g = Graph()
    g.add("rows", ReadLabelledLines(folder=folder))
    return finetune(g, train.task, train, encoder, seeds)
