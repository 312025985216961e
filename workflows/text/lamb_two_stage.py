"""Pretraining by LAMB in two stages: short sequences in the larger batch, then long ones in the smaller.

Paper    You et al. 2020, Large Batch Optimization for Deep Learning: Training BERT in 76 minutes, arXiv 1904.00962
Command  videobert run text.lamb_two_stage --texts corpus/ --preset small --encoder DIR
Cost     of the preset "small" with the small BERT of the extra "demo" a few minutes on two cores; of "paper" and
         "survey" days on several GPUs, on fewer the same by accumulation: a batch is cut into micro-batches that fit
Expect   the paper, batches of 64k and 32k, 8,599 steps: F1 90.58 on SQuAD v1.1 after fine-tuning (BERT-large). The
         learning rate of the second stage rises from 0 again

VideoBERT is pretrained in two stages by the same function: `videobert run videobert --two_stages true`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

from models.schedules import Schedule
from models.tasks import MaskedLM
from pipeline import Graph
from stages.encode import Encode
from stages.evaluate import Evaluate
from stages.load_encoder import LoadEncoder
from stages.text.read_corpus import ReadCorpus
from stages.train import Train
from workflows.text.finetune import report, suffixes

__all__ = ["graph", "in_two_stages", "report"]

STAGES = ("short", "long")


class Sizes(NamedTuple):
    """One stage of a preset."""

    length: int
    batch: int
    steps: int
    rate: float
    warmup: float
    schedule: Schedule = "polynomial"
    """By default of the power 0.5, which is Train's."""


PRESETS = {
    "survey": (Sizes(256, 65_536, 7_038, 6e-3, 0.2843), Sizes(512, 32_768, 1_563, 4e-3, 0.128)),
    "paper": (Sizes(128, 65_536, 7_038, 6e-3, 0.2843), Sizes(512, 32_768, 1_563, 4e-3, 0.128)),
    "small": (Sizes(32, 256, 60, 2e-3, 0.2, "linear"), Sizes(64, 128, 20, 1e-3, 0.2, "linear")),
}
"""Lengths and batches of the survey and the paper; steps, rates, warm-ups and schedule of both as NVIDIA's
DeepLearningExamples reproduced it: down to 0 by the square root of the steps that are left. LAMB's moments are not
corrected in any of them, as in the paper's appendix E; NVIDIA corrects them, as --train.lamb.debias true does."""


def graph(
    texts: str,
    preset: Literal["survey", "paper", "small"] = "survey",
    encoder: str = "google-bert/bert-large-uncased",
    weights: Literal["pretrained", "random"] = "random",
    corpus: ReadCorpus = ReadCorpus(texts=""),
    task: MaskedLM = MaskedLM(),
    train: Train = Train(task=MaskedLM(), optimizer="lamb"),
    seeds: int = 1,
) -> Graph:
    """From plain text to an encoder pretrained on short and then on long sequences.

    Args:
        texts: Plain-text file, folder or glob: a sentence a line, an empty line between documents.
        preset: Lengths, batch sizes, steps, rates and schedule of the two stages.
        encoder: A model of the hub or a directory that the vocabulary and the sizes are of.
        weights: Whether training starts from its weights or from random ones.
        corpus: How the texts are read.
        task: The objective; its length is the preset's.
        train: What both stages share, LAMB's form among it (--train.lamb.debias true); steps, batch, rate, warm-up and
            schedule are the preset's.
        seeds: Training runs of both stages, of which the table shows mean and spread.
    """
    g = Graph()
    g.add("encoder", LoadEncoder(encoder=encoder, weights=weights))
    g.add("corpus", replace(corpus, texts=texts))
    stages = []
    for name, sizes in zip(STAGES, PRESETS[preset], strict=True):
        masked = replace(task, max_length=sizes.length)
        g.add(f"examples-{name}", Encode(task=masked), rows="corpus", model="encoder")
        own = {"steps": sizes.steps, "global_batch_size": sizes.batch, "warmup": sizes.warmup}
        own["schedule"] = sizes.schedule
        stages.append(replace(train, task=masked, learning_rate=sizes.rate, **own))
    for seed, suffix in enumerate(suffixes(seeds)):
        in_two_stages(g, *(replace(stage, seed=stage.seed + seed) for stage in stages), suffix=suffix)
        for name in STAGES:  # both on long sequences
            inputs = {"model": f"train-{name}{suffix}", "examples": "examples-long"}
            g.add(f"evaluate-{name}{suffix}", Evaluate(task=stages[1].task, split="dev"), **inputs)
    return g


def in_two_stages(
    g: Graph,
    short: Train,
    long: Train,
    start: str = "encoder",
    examples: tuple[str, str] = ("examples-short", "examples-long"),
    suffix: str = "",
) -> str:
    """Add the nodes train-short, from ``start``, and train-long, which goes on from it, head and all; returns the last.
    Their names end with ``suffix``.

    Each has a schedule and an optimiser of its own, so the second warms up again. Positions beyond the first stage's
    lengths are first touched in the second: until then their embeddings do not even decay.
    """
    first = g.add(f"train-short{suffix}", short, model=start, examples=examples[0])
    return g.add(f"train-long{suffix}", long, model=first, examples=examples[1])
