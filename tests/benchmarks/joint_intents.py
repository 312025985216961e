"""Joint intents and slots beside Hugging Face's Trainer: one model, the same batches, side by side.

    python tests/benchmarks/joint_intents.py snips [--epochs 5 | --steps 60] [--seeds 3]

Each side runs in a process of its own, with the same encoder, seeds, learning rate, warm-up and decay, and on the same
examples in every step, in our order. Ours: ReadIntents, Encode, Train's loop and Evaluate with LabelUtterances. Theirs:
BertModel with a layer on the pooled [CLS] and one on first wordpieces, trained by Trainer with batches padded to their
longest, in float32 as it comes and once more under bf16. A side's time is that of its steps, from the third to the
last, with the making of their batches; encoding, evaluating and saving are outside. Scores are on the test split.
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
import torch.nn.functional as F

from models.precision import best_device
from models.small_bert import small_bert
from models.task_file import load_task
from models.tasks import LabelUtterances, pad
from models.tasks.tagged_words import collate_words
from pipeline import Artifact, LocalExecutor
from pipeline.graph import make
from stages.encode import Encode
from stages.evaluate import Evaluate
from stages.examples import open_examples
from stages.rank_group import Ranks
from stages.text.read_intents import ReadIntents
from stages.train import Train
from stages.training_loop import Trainer, TrainingRun

SIDES = ("ours", "Trainer", "Trainer, bf16")
FIGURES = ("intent_accuracy", "slot_f1", "exact_match")
WARM = 2
"""Steps before the clock starts."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="folder with train, dev and test, in each seq.in, seq.out and label")
    parser.add_argument("--dev", default="dev", help='name of the folder dev, "valid" for example')
    parser.add_argument("--encoder", default=small_bert())
    parser.add_argument("--epochs", type=float, default=5)
    parser.add_argument("--steps", type=int, help="instead of epochs")
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        side = ours if given.side == "ours" else theirs
        print(json.dumps([side(given, seed) for seed in range(given.seeds)]))
        return
    with tempfile.TemporaryDirectory() as work:
        prepare(given, Path(work))
        results = {}
        for name in given.sides:
            command = [sys.executable, __file__, *sys.argv[1:], "--side", name, "--work", work]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results[name] = json.loads(output.splitlines()[-1])
    speeds = {name: statistics.mean(run["examples_per_s"] for run in runs) for name, runs in results.items()}
    print(f"{'':16}{'examples/s':>12}{'ours is':>9}" + "".join(f"{figure:>22}" for figure in FIGURES))
    for name, runs in results.items():
        ratio = f"{speeds['ours'] / speeds[name]:8.2f}x" if "ours" in speeds else ""
        columns = "".join(f"{_spread([run[figure] for run in runs]):>22}" for figure in FIGURES)
        print(f"{name:16}{speeds[name]:12,.1f}{ratio:>9}{columns}")


def _spread(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.4f}"
    return f"{mean} ± {statistics.stdev(values):.4f}" if len(values) > 1 else mean


def prepare(given: argparse.Namespace, work: Path) -> None:
    """The examples of both sides, as an artifact in ``work``."""
    rows = Artifact(work / "rows", "rows")
    make(ReadIntents(folder=given.folder, dev=given.dev), {}, rows, LocalExecutor())
    encoder = Artifact(Path(given.encoder), "encoder")
    examples = Artifact(work / "examples", "examples")
    make(Encode(task=LabelUtterances()), {"rows": rows, "model": encoder}, examples, LocalExecutor())


class Timed(Trainer):
    """Our training loop, with the time at which each step ended."""

    def __init__(self, given: argparse.Namespace, seed: int, out: Path) -> None:
        examples = Artifact(given.work / "examples", "examples")
        task = load_task(examples.path)
        assert isinstance(task, LabelUtterances)
        self.utterances = task
        train = Train(
            task=task,
            epochs=given.epochs,
            steps=given.steps,
            global_batch_size=given.batch,
            learning_rate=given.learning_rate,
            evaluate_every=1 << 30,
            seed=seed,
        )
        out.mkdir(parents=True)
        run = TrainingRun(train, Path(given.encoder), tuple(examples.parts), out)
        super().__init__(run, Ranks(0, 1, best_device()))
        self.ended: list[float] = []

    def _step(self, *arguments: Any) -> dict[str, float]:
        losses = super()._step(*arguments)
        self.ended.append(time.perf_counter())
        return losses


def ours(given: argparse.Namespace, seed: int) -> dict[str, float]:
    out = Artifact(given.work / f"ours-{seed}", "ours")
    loop = Timed(given, seed, out.path)
    loop.run()
    scored = Artifact(given.work / f"scores-{seed}", "scores")
    inputs = {"model": out, "examples": Artifact(given.work / "examples", "examples")}
    make(Evaluate(task=loop.utterances), inputs, scored, LocalExecutor())
    return {**scored.manifest["metrics"], "examples_per_s": _speed(given, loop.ended)}


def _speed(given: argparse.Namespace, ended: list[float]) -> float:
    return (len(ended) - WARM) * given.batch / (ended[-1] - ended[WARM - 1])


def theirs(given: argparse.Namespace, seed: int) -> dict[str, float]:
    import transformers as hf

    loop = Timed(given, seed, given.work / f"order-{given.side}-{seed}")  # for the order of the examples alone
    task, examples, pad_id = loop.utterances, loop.batches.examples, loop.vocabulary.pad
    positions = [loop.batches.order.step(step)[0] for step in range(loop.steps)]
    data = open_examples(Artifact(given.work / "examples", "examples").parts)
    train = [data[int(i)] for i in np.concatenate(positions)]
    arguments = hf.TrainingArguments(
        output_dir=str(given.work / f"theirs-{seed}"),
        max_steps=loop.steps,
        per_device_train_batch_size=given.batch,
        learning_rate=given.learning_rate,
        warmup_steps=0.1,
        weight_decay=0.01,
        max_grad_norm=1.0,
        seed=seed,
        bf16="bf16" in given.side,
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=best_device().type == "cpu",
    )
    hf.set_seed(seed)
    ended: list[float] = []

    class Joint(hf.BertPreTrainedModel):
        def __init__(self, config: hf.BertConfig) -> None:
            super().__init__(config)
            self.bert = hf.BertModel(config)
            self.dropout = torch.nn.Dropout(0.1)
            self.intent = torch.nn.Linear(config.hidden_size, len(task.intents))
            self.slots = torch.nn.Linear(config.hidden_size, len(task.tags))
            self.post_init()

        def forward(
            self, first: torch.Tensor, labels: torch.Tensor, intent: torch.Tensor, **inputs: torch.Tensor
        ) -> dict[str, torch.Tensor]:
            encoded = self.bert(**inputs)
            words = encoded.last_hidden_state.gather(1, first[..., None].expand(-1, -1, self.config.hidden_size))
            intents, slots = self.intent(self.dropout(encoded.pooler_output)), self.slots(self.dropout(words))
            loss = F.cross_entropy(intents, intent) + F.cross_entropy(slots.flatten(0, 1), labels.flatten())
            return {"loss": loss, "intents": intents, "slots": slots}

    class Clock(hf.TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ended.append(time.perf_counter())

    def collate(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        words = collate_words(batch)
        return {
            "input_ids": pad([e["input_ids"] for e in batch], pad_id),
            "attention_mask": pad([np.ones(len(e["input_ids"]), np.int64) for e in batch], 0),
            "first": words["first"],
            "labels": words["tags"],
            "intent": torch.tensor([int(e["intent"]) for e in batch]),
        }

    model = Joint.from_pretrained(given.encoder, dtype=torch.float32)
    trainer = hf.Trainer(model=model, args=arguments, train_dataset=train, data_collator=collate, callbacks=[Clock()])
    trainer.train()
    rows = []
    model.eval()
    test = [example for i in range(len(examples)) if (example := examples[i])["split"] == "test"]
    for example in test:
        with torch.no_grad():
            output = model(**{name: tensor.to(model.device) for name, tensor in collate([example]).items()})
        row = {"intent": example["gold_intent"], "tags": example["gold_tags"]}
        tags = [task.tags[i] for i in output["slots"][0].argmax(-1).tolist()]
        rows.append({**row, "predicted_intent": task.intents[int(output["intents"].argmax())], "predicted_tags": tags})
    return {**task.metrics(rows), "examples_per_s": _speed(given, ended)}


if __name__ == "__main__":
    main()
