"""A training step of VideoText beside Hugging Face's BertForPreTraining fed the same sequences.

    python tests/benchmarks/train_step.py [--batch 128] [--steps 8]

Each side runs in a process of its own, on the CPU. Ours: the project's loop, logits at masked positions only,
micro-batches of like length, bf16 where the machine has it. Theirs: one padded batch a step, logits at every position,
torch's AdamW, in float32 as it comes and once more under bf16 autocast. Tokens are those that are not padding.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from own_process import run_again

from models.extended_encoder import embedding_rows, extend_model, load_masked_lm, rows_from_centroids
from models.small_bert import small_bert
from models.tasks import VideoText
from models.tasks.task import Batch
from models.vocabulary import extend_tokenizer
from pipeline.store import write_part
from stages.rank_group import Ranks
from stages.train import Train
from stages.training_loop import Trainer, TrainingRun

SIDES = ("ours", "Hugging Face float32", "Hugging Face bf16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=128, help="sequences a step")
    parser.add_argument("--steps", type=int, default=8, help="timed steps, after two")
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(measure(arguments.side, arguments.folder, arguments.batch, arguments.steps)))
        return
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        results = {side: run_again("--side", side, "--folder", folder) for side in SIDES}
    ours = results["ours"]
    print(f"{'':24}{'tokens/s':>12}{'s/step':>10}{'peak MiB':>10}{'ours is':>10}")
    for side, r in results.items():
        ratio = ours["tokens_per_s"] / r["tokens_per_s"]
        print(f"{side:24}{r['tokens_per_s']:12,.0f}{r['seconds']:10.2f}{r['peak_mib']:10,.0f}{ratio:9.2f}x")


def prepare(folder: Path) -> None:
    """The small BERT with 20,736 visual words, and segments of speech-like length."""
    from transformers import AutoTokenizer

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(small_bert())
    extended = extend_tokenizer(tokenizer, 12, 4, folder / "model")
    model, _ = load_masked_lm(small_bert(), "main")
    n_text, dead = len(tokenizer), torch.zeros(12**4, dtype=torch.bool)
    text_rows = embedding_rows(model)[:n_text].detach().clone()
    rows = rows_from_centroids(torch.randn(12**4, 1024), dead, text_rows, seed=0)
    extend_model(model, n_text, text_rows[tokenizer.sep_token_id], rows, dead)
    model.save_pretrained(folder / "model")
    rng = np.random.default_rng(0)
    examples = []
    for i in range(4000):
        text = rng.integers(2000, 20000, int(rng.integers(6, 25)))
        visual = rng.integers(0, 12**4, int(rng.integers(3, 12))) + len(extended) - 12**4
        lengths = {"length": len(text) + len(visual) + 3}
        examples.append({"video_id": f"v{i // 8}", "text": text, "visual": visual, "split": "train", **lengths})
    write_part(folder / "part-00000.arrow", pa.Table.from_pylist(examples, VideoText.example_schema))


def measure(side: str, folder: Path, batch_size: int, steps: int) -> dict[str, float]:
    stage = Train(task=VideoText(), steps=steps + 3, global_batch_size=batch_size)
    run = TrainingRun(stage, folder / "model", (folder / "part-00000.arrow",), folder)
    trainer = Trainer(run, Ranks(0, 1, torch.device("cpu")))
    trainer.model.train()
    batches = [trainer.batches.of_step(step) for step in range(steps + 2)]
    if side == "ours":
        step = lambda i: trainer._step(i, batches[i])  # noqa: E731
    else:
        wholes = [whole_batch(trainer, i, batch_size) for i in range(steps + 2)]
        del trainer.optimizer
        step = hugging_face(folder / "model", wholes, bf16=side.endswith("bf16"))
    step(0)
    step(1)
    started = time.perf_counter()
    for i in range(2, steps + 2):
        step(i)
    seconds = (time.perf_counter() - started) / steps
    tokens = np.mean([sum(int(m.batch.attention_mask_BL.sum()) for m in bs.micro_batches) for bs in batches[2:]])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"tokens_per_s": tokens / seconds, "seconds": seconds, "peak_mib": peak}


def whole_batch(trainer: Trainer, step: int, batch_size: int) -> Batch:
    """The same sequences in the order they were drawn, padded together."""
    examples = [e for micro in trainer.batches.of_step(step).micro_batches for e in micro.batch.examples]
    order = np.random.default_rng(step).permutation(batch_size)
    return trainer.task.collate([examples[i] for i in order], trainer.vocabulary)


def hugging_face(model_dir: Path, batches: list[Batch], bf16: bool):
    from transformers import BertForPreTraining

    model = BertForPreTraining.from_pretrained(model_dir, dtype=torch.float32).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step(i: int) -> None:
        batch = batches[i]
        labels = torch.full_like(batch.input_ids_BL, -100).flatten()
        labels[batch.labels["position"]] = batch.labels["target"]
        pair = torch.full((len(batch.input_ids_BL),), -100)
        pair[batch.labels["pair"]] = batch.labels["aligned"].long()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(
                input_ids=batch.input_ids_BL,
                attention_mask=batch.attention_mask_BL,
                token_type_ids=batch.token_type_ids_BL,
                labels=labels.view_as(batch.input_ids_BL),
                next_sentence_label=pair,
            ).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


if __name__ == "__main__":
    main()
