"""What the benchmarks beside Hugging Face's Trainer share: their options, a run of either side, and the table.

Each side runs in a process of its own. Both read the same rows with our stages and start from the same encoder and
seeds; both take the same number of steps, of whole batches, by AdamW with a linear warm-up and decay, Train's defaults.
Ours: Encode, Train's loop and Evaluate. Theirs: Trainer, padding each batch to its longest sequence, as the batches
come, with batches of like length ("grouped"), or with these under bf16. A side's time is that of its steps, from the
third to the last, with the reading of their batches; encoding, evaluating and saving are outside. Scores are the task's
own, on the test rows after the last step. The peak is that of the process' memory, all seeds together.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import transformers as hf
from own_process import run_again

from models.precision import best_device
from models.small_bert import small_bert
from models.task_file import load_task
from models.tasks import Task
from pipeline import Artifact, LocalExecutor, Stage
from pipeline.graph import make
from pipeline.store import MANIFEST, write_json, write_part
from stages.encode import Encode
from stages.evaluate import Evaluate
from stages.example_order import ExampleOrder
from stages.examples import open_examples
from stages.rank_group import Ranks
from stages.train import Train
from stages.training_loop import Trainer, TrainingRun

OURS = "ours"
SIDES = (OURS, "Trainer", "Trainer, grouped", "Trainer, grouped, bf16")
PREPARE = "prepare"
"""Writes what both sides read, in a process of its own too: a process' peak begins at that of the one it comes from."""
WARM = 2
"""Steps before the clock starts."""


class Run(NamedTuple):
    """One side with one seed."""

    examples_per_s: float
    peak_mib: float
    scores: dict[str, float]


def options(
    about: str, *, epochs: float, learning_rate: float, batch: int, sides: Sequence[str] = SIDES
) -> argparse.ArgumentParser:
    """The options of all benchmarks. ``about`` is the script's docstring; numbers are defaults."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--encoder", default=small_bert())
    parser.add_argument("--epochs", type=float, default=epochs)
    parser.add_argument("--steps", type=int, help=f"instead of epochs; {WARM + 2} or more")
    parser.add_argument("--learning-rate", type=float, default=learning_rate)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--rows", type=int, help="training rows, the first; no fewer than a batch")
    parser.add_argument("--precision", default="auto", help="ours: auto, bf16 or float32")
    parser.add_argument("--group-by-length", action="store_true", help="ours: batches of examples of about one length")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--sides", nargs="+", choices=sides, default=sides)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    return parser


def compare(
    given: argparse.Namespace,
    reader: Stage,
    task: Task,
    theirs: type[HuggingFace],
    tested: str = "test",
    figures: Sequence[str] = (),
) -> None:
    """Run the sides in turn on what ``reader`` reads, and print the table.

    tested    the split to score on
    figures   those of the task's that the table shows; all of them where none is named
    """
    if given.side == PREPARE:
        prepare(given, reader, task, tested)
    elif given.side:
        run = Ours(given).run if given.side == OURS else theirs(given).run
        print(json.dumps([run(seed) for seed in range(given.seeds)]))
    else:
        results = {}
        with tempfile.TemporaryDirectory() as work:
            for side in (PREPARE, *given.sides):
                answer = run_again("--side", side, "--work", work)
                if side != PREPARE:
                    results[side] = [Run(*run) for run in answer]
        print_table(results, figures)


def prepare(given: argparse.Namespace, reader: Stage, task: Task, tested: str) -> None:
    """The rows of both sides and our examples of them, as artifacts. Without dev rows: nothing is chosen by them."""
    read, rows, examples = (Artifact(given.work / name, name) for name in ("read", "rows", "examples"))
    make(reader, {}, read, LocalExecutor())
    table = read.read()
    train, test = (table.filter(pc.equal(table["split"], split)) for split in ("train", tested))
    test = test.set_column(test.column_names.index("split"), "split", pa.array(["test"] * len(test)))
    write_part(rows.path / "part-00000.parquet", pa.concat_tables([train.slice(0, given.rows), test]))
    write_json(rows.path / MANIFEST, {"key": "rows"})
    encoder = Artifact(Path(given.encoder), "encoder")
    make(Encode(task=task), {"rows": rows, "model": encoder}, examples, LocalExecutor())


def measured(given: argparse.Namespace, ended: list[float], scores: dict[str, float]) -> Run:
    """A run whose steps ended at these times."""
    speed = (len(ended) - WARM) * given.batch / (ended[-1] - ended[WARM - 1])
    return Run(speed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, scores)


def print_table(results: dict[str, list[Run]], figures: Sequence[str]) -> None:
    """A line a side: examples/s and how many times that we do, scores with their spread over seeds, peak memory."""
    speeds = {side: statistics.mean(run.examples_per_s for run in runs) for side, runs in results.items()}
    names = figures or list(next(iter(results.values()))[0].scores)
    widths = {name: max(len(name) + 2, 18) for name in names}
    titles = "".join(f"{name:>{width}}" for name, width in widths.items())
    print(f"{'':24}{'examples/s':>12}{'ours is':>10}{titles}{'peak MiB':>10}")
    for side, runs in results.items():
        ratio = f"{speeds[OURS] / speeds[side]:.2f}x" if OURS in speeds else ""
        scores = "".join(f"{_with_spread([run.scores[n] for run in runs]):>{width}}" for n, width in widths.items())
        print(f"{side:24}{speeds[side]:12,.1f}{ratio:>10}{scores}{max(run.peak_mib for run in runs):10,.0f}")


def _with_spread(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.4f}"
    return f"{mean} ± {statistics.stdev(values):.4f}" if len(values) > 1 else mean


# ---------------------------------------------------------------------------------------------------- ours


class Timed(Trainer):
    """Our training loop, with the time at which each step ended."""

    def __init__(self, run: TrainingRun, ranks: Ranks) -> None:
        super().__init__(run, ranks)
        self.ended: list[float] = []

    def _step(self, *arguments: Any) -> dict[str, float]:
        losses = super()._step(*arguments)
        self.ended.append(time.perf_counter())
        return losses


class Ours:
    """Our side, of any task."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.examples = Artifact(given.work / "examples", "examples")
        self.task = load_task(self.examples.path)

    def run(self, seed: int) -> Run:
        given = self.given
        out, scored = (Artifact(given.work / f"{name}-{seed}", name) for name in ("ours", "scores"))
        out.path.mkdir()
        train = Train(
            task=self.task,
            epochs=given.epochs,
            steps=given.steps,
            global_batch_size=given.batch,
            learning_rate=given.learning_rate,
            precision=given.precision,
            group_by_length=given.group_by_length,
            seed=seed,
        )
        run = TrainingRun(train, Path(given.encoder), tuple(self.examples.parts), out.path)
        loop = Timed(run, Ranks(0, 1, best_device()))
        loop.run()
        make(Evaluate(task=self.task), {"model": out, "examples": self.examples}, scored, LocalExecutor())
        return measured(given, loop.ended, scored.manifest["metrics"])


# ---------------------------------------------------------------------------------------------------- theirs


class HuggingFace(ABC):
    """Their side. A benchmark's own makes ``train`` and ``test``, the examples that its model takes."""

    sampling: ClassVar[str] = "random"
    """In which order Trainer takes the training examples where it does not group them; "sequential" for our order."""
    train: Sequence[dict[str, Any]]
    test: Sequence[dict[str, Any]]

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.tokenizer = hf.AutoTokenizer.from_pretrained(given.encoder)
        examples = Artifact(given.work / "examples", "examples")
        self.task: Any = load_task(examples.path)
        self.examples = open_examples(examples.parts)
        self.positions = {split: self.examples.positions_of(split) for split in ("train", "test")}

    def rows(self, split: str) -> list[dict[str, Any]]:
        """The rows that our examples were made of."""
        rows = Artifact(self.given.work / "rows", "rows").read().to_pylist()
        return [row for row in rows if row["split"] == split]

    def collate(self, batch: list[dict[str, Any]]) -> Any:
        """Examples padded to the longest of them."""
        return hf.DataCollatorWithPadding(self.tokenizer)(batch)

    @abstractmethod
    def model(self) -> hf.PreTrainedModel:
        """The encoder with a fresh head."""

    @abstractmethod
    def scores(self, predictions: Any) -> dict[str, float]:
        """The task's figures of what the model says of ``test``."""

    def run(self, seed: int) -> Run:
        given = self.given
        assert len(self.train) == len(self.positions["train"]), "the sides do not train on the same examples"
        order = ExampleOrder([np.arange(len(self.train))], [1.0], given.batch, seed)
        steps = given.steps or order.steps_in(given.epochs)
        train = self.train
        if self.sampling == "sequential":
            train = [train[i] for step in range(steps) for i in order.step(step)[0]]
        arguments = hf.TrainingArguments(
            output_dir=str(given.work / f"theirs-{seed}"),
            max_steps=steps,
            per_device_train_batch_size=given.batch,
            per_device_eval_batch_size=given.batch,
            dataloader_drop_last=True,
            learning_rate=given.learning_rate,
            warmup_steps=int(Train.warmup * steps),
            weight_decay=Train.weight_decay,
            max_grad_norm=Train.clip_norm,
            seed=seed,
            bf16="bf16" in given.side,
            train_sampling_strategy="group_by_length" if "grouped" in given.side else self.sampling,
            remove_unused_columns=False,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=best_device().type == "cpu",
        )
        ended: list[float] = []

        class Clock(hf.TrainerCallback):
            def on_step_end(self, *_: Any, **__: Any) -> None:
                ended.append(time.perf_counter())

        hf.set_seed(seed)
        trainer = hf.Trainer(self.model(), arguments, self.collate, train, callbacks=[Clock()])
        trainer.train()
        arguments.train_sampling_strategy = "sequential"  # else it would group the test examples too
        arguments.dataloader_drop_last = False
        return measured(given, ended, self.scores(trainer.predict(self.test).predictions))


class OnOurExamples(HuggingFace):
    """Their side on the examples that ours has. ``gold``: those of the test split."""

    def __init__(self, given: argparse.Namespace) -> None:
        super().__init__(given)
        self.train = [self.inputs_of(self.examples[int(i)]) for i in self.positions["train"]]
        self.gold = [self.examples[int(i)] for i in self.positions["test"]]
        self.test = [self.inputs_of(example) for example in self.gold]

    @abstractmethod
    def inputs_of(self, example: dict[str, Any]) -> dict[str, Any]:
        """What the model takes of an example."""
