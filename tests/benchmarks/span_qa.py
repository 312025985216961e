"""Span question answering beside Hugging Face's: the same encoder, questions, seeds and hyper-parameters, in turn.

    python tests/benchmarks/span_qa.py questions.json --test-articles 8

Each side runs in a process of its own. Ours: Encode, Train's loop and Evaluate, with SpanQA. Theirs:
AutoModelForQuestionAnswering with Trainer, windows and choice of answers as in its example run_qa.py (windows overlap
by 128, spans between the 20 best starts and ends), each batch padded to its longest window; once as it comes, once with
batches of like length. Both use AdamW with a linear warm-up and decay. A side's time is that of its steps, from the
third to the last; encoding, evaluating and saving are outside. Exact match and F1 are SQuAD's, on the test articles.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.precision import best_device
from models.scoring import squad
from models.small_bert import small_bert
from models.tasks import SpanQA
from pipeline import Artifact, LocalExecutor
from pipeline.graph import make
from stages.encode import Encode
from stages.evaluate import Evaluate
from stages.text.read_squad import ReadSquad
from stages.train import Train
from stages.training_loop import Ranks, Trainer, TrainingRun

SIDES = ("ours", "Trainer", "Trainer, grouped")
WARM = 2
"""Steps before the clock starts."""
WINDOW = {"max_length": 384, "stride": 128, "truncation": "only_second"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("questions", help="file in SQuAD's format, version 1.1")
    parser.add_argument("--test-articles", type=int, default=8, help="so many of its last articles to test on")
    parser.add_argument("--encoder", default=small_bert())
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--precision", default="auto", help="ours: auto, bf16 or float32")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        side = Ours(given) if given.side == "ours" else HuggingFace(given)
        print(json.dumps([side.run(seed) for seed in range(given.seeds)]))
        return
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        rows = Artifact(Path(folder) / "rows", "rows")
        make(ReadSquad(train=given.questions, test_articles=given.test_articles), {}, rows, LocalExecutor())
        for name in given.sides:
            command = [sys.executable, __file__, *sys.argv[1:], "--side", name, "--folder", folder]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results[name] = json.loads(output.splitlines()[-1])
    print(f"{'':20}{'windows':>8}{'windows/s':>11}{'ours is':>9}{'exact':>9}{'F1':>8}{'± seeds':>9}")
    speeds = {name: statistics.mean(run["windows_per_s"] for run in runs) for name, runs in results.items()}
    for name, runs in results.items():
        exact, f1 = ([run[figure] for run in runs] for figure in ("exact", "f1"))
        ratio = f"{speeds['ours'] / speeds[name]:8.2f}x" if "ours" in speeds else ""
        spread = f"{statistics.stdev(f1):9.4f}" if len(f1) > 1 else ""
        scores = f"{statistics.mean(exact):9.4f}{statistics.mean(f1):8.4f}"
        print(f"{name:20}{runs[0]['windows']:8}{speeds[name]:11.1f}{ratio}{scores}{spread}")


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
        make(Encode(task=SpanQA()), inputs, self.examples, LocalExecutor())

    def run(self, seed: int) -> dict[str, float]:
        given = self.given
        out = Artifact(given.folder / f"ours-{seed}", f"ours-{seed}")
        out.path.mkdir()
        stage = Train(
            task=SpanQA(),
            epochs=given.epochs,
            global_batch_size=given.batch,
            learning_rate=given.learning_rate,
            precision=given.precision,
            seed=seed,
        )
        trainer = Timed(
            TrainingRun(stage, self.model.path, tuple(self.examples.parts), out.path), Ranks(0, 1, best_device())
        )
        trainer.run()
        scored = Artifact(given.folder / f"scores-{seed}", "scores")
        make(Evaluate(task=SpanQA()), {"model": out, "examples": self.examples}, scored, LocalExecutor())
        return {
            "windows": self.examples.read()["split"].to_pylist().count("train"),
            "windows_per_s": (len(trainer.ended) - WARM) * given.batch / (trainer.ended[-1] - trainer.ended[WARM - 1]),
            **scored.manifest["metrics"],
        }


# ---------------------------------------------------------------------------------------------------- theirs


class HuggingFace:
    def __init__(self, given: argparse.Namespace) -> None:
        from transformers import AutoTokenizer

        self.given = given
        self.tokenizer = AutoTokenizer.from_pretrained(given.encoder)
        rows = Artifact(given.folder / "rows", "rows").read().to_pylist()
        self.train = [window for row in rows if row["split"] == "train" for window in self._windows(row)]
        self.rows = [row for row in rows if row["split"] == "test"]
        self.test = [self._windows(row) for row in self.rows]

    def _windows(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        encoded = self.tokenizer(
            row["question"], row["context"], return_overflowing_tokens=True, return_offsets_mapping=True, **WINDOW
        )
        start = row["answers"][0]["start"]
        end = start + len(row["answers"][0]["text"])
        windows = []
        for number, offsets in enumerate(encoded["offset_mapping"]):
            of = encoded.sequence_ids(number)
            inside = [i for i, (s, e) in enumerate(offsets) if of[i] == 1 and e > start and s < end]
            first, last = of.index(1), len(of) - 1 - of[::-1].index(1)
            whole = offsets[first][0] <= start and end <= offsets[last][1]
            window = {k: encoded[k][number] for k in ("input_ids", "attention_mask", "token_type_ids")}
            window["start_positions"] = inside[0] if whole else 0
            window["end_positions"] = inside[-1] if whole else 0
            window["offsets"] = [o if of[i] == 1 else None for i, o in enumerate(offsets)]
            windows.append(window)
        return windows

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
            train_sampling_strategy="group_by_length" if "grouped" in given.side else "random",
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=best_device().type == "cpu",
        )
        hf.set_seed(seed)
        model = hf.AutoModelForQuestionAnswering.from_pretrained(given.encoder, dtype=torch.float32)
        ended: list[float] = []

        class Clock(hf.TrainerCallback):
            def on_step_end(self, *_: Any, **__: Any) -> None:
                ended.append(time.perf_counter())

        trainer = hf.Trainer(
            model=model,
            args=arguments,
            train_dataset=[{k: v for k, v in window.items() if k != "offsets"} for window in self.train],
            data_collator=hf.DataCollatorWithPadding(self.tokenizer),
            processing_class=self.tokenizer,
            callbacks=[Clock()],
        )
        trainer.train()
        named = ("input_ids", "attention_mask", "token_type_ids")
        flat = [{k: window[k] for k in named} for windows in self.test for window in windows]
        logits = trainer.predict(flat).predictions
        return {
            "windows": len(self.train),
            "windows_per_s": (len(ended) - WARM) * given.batch / (ended[-1] - ended[WARM - 1]),
            **squad.figures(self._scored(*logits[:2])),
        }

    def _scored(self, start: np.ndarray, end: np.ndarray) -> list[squad.Scored]:
        questions = []
        at = 0
        for row, windows in zip(self.rows, self.test, strict=True):
            best = (-np.inf, "")
            for window in windows:
                score, (left, right) = best_of(start[at], end[at], window["offsets"])
                best = max(best, (score, row["context"][left:right]))
                at += 1
            questions.append(squad.Scored([a["text"] for a in row["answers"]], best[1]))
        return questions


def best_of(start: np.ndarray, end: np.ndarray, offsets: list[Any], n: int = 20) -> tuple[float, tuple[int, int]]:
    """Score and characters of the best span between the ``n`` best starts and ends, of at most 30 pieces."""
    found = (-np.inf, (0, 0))
    for i in np.argsort(start[: len(offsets)])[-n:]:
        for j in np.argsort(end[: len(offsets)])[-n:]:
            if offsets[i] and offsets[j] and i <= j < i + 30:
                found = max(found, (float(start[i] + end[j]), (offsets[i][0], offsets[j][1])))
    return found


if __name__ == "__main__":
    main()
