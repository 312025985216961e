"""Fine-tuning beside Hugging Face's Trainer: the same encoder, rows, seeds and hyper-parameters, one after the other.

    python tests/benchmarks/text_training.py labels --train sst2/train.tsv --test sst2/test.tsv --text sentence
    python tests/benchmarks/text_training.py intents --snips snips
    python tests/benchmarks/text_training.py slots --snips snips

Each side runs in a process of its own. Ours: Encode, Train's loop and Evaluate, with ClassifyText or TagWords. Theirs:
AutoModelForSequenceClassification or AutoModelForTokenClassification with Trainer, padding each batch to its longest
sequence, once as it comes, once with batches of like length, once with these under bf16. All use AdamW with a linear
warm-up and decay. A side's time is that of its steps, from the third to the last, with the reading of their batches;
encoding, evaluating and saving are outside. Scores are on the test rows after the last step: accuracy, or F1 of spans.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from models.precision import best_device
from models.scoring.glue import accuracy
from models.scoring.spans import span_scores
from models.small_bert import small_bert
from models.task_file import load_task
from models.tasks import ClassifyText, TagWords
from pipeline import Artifact, LocalExecutor
from pipeline.graph import make
from pipeline.store import MANIFEST, write_json, write_part
from stages.encode import Encode
from stages.evaluate import Evaluate
from stages.text.read_table import ReadTable
from stages.train import Train
from stages.training_loop import Ranks, Trainer, TrainingRun

SIDES = ("ours", "Trainer", "Trainer, grouped", "Trainer, grouped, bf16")
WARM = 2
"""Steps before the clock starts."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("labels", "intents", "slots"))
    parser.add_argument("--train", help="table of labelled texts (labels)")
    parser.add_argument("--test", help="table of labelled texts (labels)")
    parser.add_argument("--text", default="text", help="column of the text")
    parser.add_argument("--label", default="label", help="column of the label")
    parser.add_argument("--snips", type=Path, help="folder with train and test, in each seq.in, seq.out and label")
    parser.add_argument("--encoder", default=small_bert())
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rows", type=int, default=1 << 30, help="training rows, the first")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        side = Ours(given) if given.side == "ours" else HuggingFace(given)
        print(json.dumps([side.run(seed) for seed in range(given.seeds)]))
        return
    with tempfile.TemporaryDirectory() as folder:
        prepare(given, Path(folder))
        results = {}
        for side_name in given.sides:
            command = [sys.executable, __file__, *sys.argv[1:], "--side", side_name, "--folder", folder]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results[side_name] = json.loads(output.splitlines()[-1])
    print(f"{'':24}{'examples/s':>12}{'ours is':>10}{'score':>10}{'± seeds':>9}{'peak MiB':>10}")
    speeds = {name: statistics.mean(run["examples_per_s"] for run in runs) for name, runs in results.items()}
    for name, runs in results.items():
        scores = [run["score"] for run in runs]
        spread = f"{statistics.stdev(scores):9.4f}" if len(scores) > 1 else f"{'':9}"
        ratio = f"{speeds['ours'] / speeds[name]:9.2f}x" if "ours" in speeds else ""
        peak = max(run["peak_mib"] for run in runs)
        print(f"{name:24}{speeds[name]:12,.1f}{ratio}{statistics.mean(scores):10.4f}{spread}{peak:10,.0f}")


def prepare(given: argparse.Namespace, folder: Path) -> None:
    """The rows of both sides, as an artifact in ``folder``."""
    if given.what == "labels":
        stage = ReadTable(train=given.train, test=given.test, text=given.text, label=given.label)
        read = Artifact(folder / "read", "read")
        make(stage, {}, read, LocalExecutor())
        table = read.read()
    else:
        table = pa.Table.from_pylist([row for split in ("train", "test") for row in snips(given, split)])
    train = table.filter(pa.compute.equal(table["split"], "train")).slice(0, given.rows)
    test = table.filter(pa.compute.equal(table["split"], "test"))
    write_part(folder / "rows" / "part-00000.parquet", pa.concat_tables([train, test]))
    write_json(folder / "rows" / MANIFEST, {"key": "rows"})


def snips(given: argparse.Namespace, split: str) -> Iterator[dict[str, Any]]:
    texts, tags, labels = ((given.snips / split / f).read_text().splitlines() for f in ("seq.in", "seq.out", "label"))
    for number, (text, tag, label) in enumerate(zip(texts, tags, labels, strict=True)):
        words = {"words": text.split(), "tags": tag.split()}
        yield {"id": f"{split}:{number}", "text": text.strip(), "label": label.strip(), "split": split, **words}


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# ---------------------------------------------------------------------------------------------------- ours


class Timed(Trainer):
    """The training loop, with the time at which each step ended."""

    def __init__(self, run: TrainingRun, ranks: Ranks) -> None:
        super().__init__(run, ranks)
        self.ended: list[float] = []

    def _step(self, *arguments: Any) -> dict[str, float]:
        losses = super()._step(*arguments)
        self.ended.append(time.perf_counter())
        return losses


class Ours:
    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.examples = Artifact(given.folder / "examples", "examples")
        self.model = Artifact(Path(given.encoder), "encoder")
        inputs = {"rows": Artifact(given.folder / "rows", "rows"), "model": self.model}
        task = TagWords() if given.what == "slots" else ClassifyText()
        make(Encode(task=task), inputs, self.examples, LocalExecutor())
        self.task = load_task(self.examples.path)

    def run(self, seed: int) -> dict[str, float]:
        given = self.given
        out = Artifact(given.folder / f"ours-{seed}", f"ours-{seed}")
        out.path.mkdir()
        stage = Train(
            task=self.task,
            epochs=given.epochs,
            global_batch_size=given.batch,
            learning_rate=given.learning_rate,
            seed=seed,
        )
        trainer = Timed(
            TrainingRun(stage, self.model.path, tuple(self.examples.parts), out.path), Ranks(0, 1, best_device())
        )
        trainer.run()
        scored = Artifact(given.folder / f"scores-{seed}", "scores")
        make(Evaluate(task=self.task), {"model": out, "examples": self.examples}, scored, LocalExecutor())
        figures = scored.manifest["metrics"]
        return {
            "examples_per_s": (len(trainer.ended) - WARM) * given.batch / (trainer.ended[-1] - trainer.ended[WARM - 1]),
            "score": figures["f1" if given.what == "slots" else "accuracy"],
            "peak_mib": peak_mib(),
        }


# ---------------------------------------------------------------------------------------------------- theirs


class HuggingFace:
    def __init__(self, given: argparse.Namespace) -> None:
        from transformers import AutoTokenizer

        self.given = given
        self.tokenizer = AutoTokenizer.from_pretrained(given.encoder)
        rows = Artifact(given.folder / "rows", "rows").read().to_pylist()
        train = [row for row in rows if row["split"] == "train"]
        self.test_rows = [row for row in rows if row["split"] == "test"]
        self.slots = given.what == "slots"
        names = {tag for row in train for tag in row["tags"]} if self.slots else {row["label"] for row in train}
        self.names = sorted(names)
        self.train, self.test = ([self._encode(row) for row in part] for part in (train, self.test_rows))

    def _encode(self, row: dict[str, Any]) -> dict[str, Any]:
        number = {name: i for i, name in enumerate(self.names)}
        if not self.slots:
            encoded = self.tokenizer(row["text"], truncation=True, max_length=128)
            return {**encoded, "labels": number.get(row["label"], 0)}
        encoded = self.tokenizer(row["words"], is_split_into_words=True, truncation=True, max_length=512)
        words = encoded.word_ids()
        first = [w is not None and w != before for w, before in zip(words, [None, *words], strict=False)]
        labels = [number.get(row["tags"][w], -100) if f else -100 for w, f in zip(words, first, strict=True)]
        return {**encoded, "labels": labels}

    def run(self, seed: int) -> dict[str, float]:
        import transformers as hf

        given = self.given
        arguments = hf.TrainingArguments(
            output_dir=str(given.folder / f"theirs-{seed}"),
            num_train_epochs=given.epochs,
            per_device_train_batch_size=given.batch,
            per_device_eval_batch_size=given.batch,
            learning_rate=given.learning_rate,
            warmup_steps=0.1,
            weight_decay=0.01,
            max_grad_norm=1.0,
            seed=seed,
            bf16="bf16" in given.side,
            train_sampling_strategy="group_by_length" if "grouped" in given.side else "random",
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=best_device().type == "cpu",
        )
        hf.set_seed(seed)
        kind = hf.AutoModelForTokenClassification if self.slots else hf.AutoModelForSequenceClassification
        collator = hf.DataCollatorForTokenClassification if self.slots else hf.DataCollatorWithPadding
        model = kind.from_pretrained(given.encoder, num_labels=len(self.names), dtype=torch.float32)
        ended: list[float] = []

        class Clock(hf.TrainerCallback):
            def on_step_end(self, *_: Any, **__: Any) -> None:
                ended.append(time.perf_counter())

        trainer = hf.Trainer(
            model=model,
            args=arguments,
            train_dataset=self.train,
            data_collator=collator(self.tokenizer),
            processing_class=self.tokenizer,
            callbacks=[Clock()],
        )
        trainer.train()
        return {
            "examples_per_s": (len(ended) - WARM) * given.batch / (ended[-1] - ended[WARM - 1]),
            "score": self._score(trainer.predict(self.test).predictions),
            "peak_mib": peak_mib(),
        }

    def _score(self, logits: np.ndarray) -> float:
        best = logits.argmax(-1)
        if not self.slots:
            return accuracy([row["label"] for row in self.test_rows], [self.names[i] for i in best])
        answers = []
        for row, example, places in zip(self.test_rows, self.test, best, strict=True):
            words = self.tokenizer(row["words"], is_split_into_words=True, truncation=True, max_length=512).word_ids()
            first = [words.index(w) for w in range(len(row["words"])) if w in words]
            answers.append([self.names[places[i]] for i in first])
            assert len(example["input_ids"]) == len(words)
        return span_scores([row["tags"] for row in self.test_rows], answers)["f1"]


if __name__ == "__main__":
    main()
