"""UDify: one model that tags, lemmatises and parses the sentences of many treebanks.

Paper    Kondratyuk and Straka 2019, 75 Languages, 1 Model: Parsing Universal Dependencies Universally, arXiv 1904.02099
Command  videobert run text.udify --train_files 'ud/**/*-ud-train.conllu' --test_files 'ud/**/*-ud-test.conllu'
         with a treebank of 2,000 sentences and a small encoder: --preset small --task.dropout 0.2
         --task.word_dropout 0.1
Cost     the 124 treebanks of UD 2.3: 80 epochs of 21,695 steps of 32 sentences
Expect   the paper, means over treebanks: LAS 80.4 (UDPipe Future: 79.8); UD_English-EWT: UAS 90.96, LAS 88.50. They are
         of the reference implementation, whose learning rates are not those that the paper states
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from models.tasks import ParseDependencies
from pipeline import Graph
from stages.text.plot_layer_weights import PlotLayerWeights
from stages.text.read_conllu import ReadConllu
from stages.text.write_conllu import WriteConllu
from stages.train import Train
from workflows.text.finetune import finetune, report, suffixes

__all__ = ["graph", "report"]

EPOCH = 21_695
"""Steps over UD 2.3."""
WARMUP = EPOCH + 8_000
"""The reference's, in steps: it adds the epoch in which the head learns alone once more."""
PEAK = 5 * WARMUP**-0.5
"""What its rates, times 5 min(s^-0.5, s WARMUP^-1.5) at step s, come to at most of those it names."""
PAPER = Train(
    task=ParseDependencies(),
    epochs=80,
    global_batch_size=32,
    optimizer="bert_adam",
    beta2=0.99,
    clip_norm=5.0,
    learning_rate=5e-5,
    head_rate=20.0,
    head_first=1.0,
    schedule="inverse_square_root",
    warmup=8_000 / (79 * EPOCH),
)
PRESETS = {
    # Hyperparticle/udify's multilingual configuration: 4e-5 and 1e-3 are flat rates of the head's epoch alone.
    "reference": replace(
        PAPER, learning_rate=4e-5 * PEAK, head_rate=25.0, head_first_rate=1e-3, warmup=WARMUP / (79 * EPOCH)
    ),
    # As the paper states them: peaks of 5e-5 for the encoder and 1e-3 for the head.
    "paper": PAPER,
    # Some thousand sentences.
    "small": replace(PAPER, epochs=10, learning_rate=4e-4, head_rate=2.5, warmup=1 / 79),
}


def graph(
    train_files: str,
    dev_files: str | None = None,
    test_files: str | None = None,
    encoder: str = "google-bert/bert-base-multilingual-cased",
    seeds: int = 1,
    preset: Literal["reference", "paper", "small"] = "reference",
    task: ParseDependencies = ParseDependencies(),
) -> Graph:
    """From treebanks to a parser, its official figures, the parsed files and the weights of the encoder's layers.

    Args:
        train_files: CoNLL-U to train on: a file, a folder or a glob; several with commas between.
        dev_files: CoNLL-U to follow the training on.
        test_files: CoNLL-U to test on, or without annotation to parse.
        encoder: BERT-type encoder: a name on the hub or a directory.
        seeds: Training runs, of which the table shows mean and spread.
        preset: Epochs, learning rates and warm-up: those of the reference implementation, of the paper, or for a small
            treebank. The encoder is left alone in the first epoch.
        task: What is learned.
    """
    g = Graph()
    g.add("rows", ReadConllu(train=train_files, dev=dev_files, test=test_files))
    finetune(g, task, PRESETS[preset], encoder, seeds)
    for suffix in suffixes(seeds):
        g.add(f"conllu{suffix}", WriteConllu(), predictions=f"predictions{suffix}")
        g.add(f"layers{suffix}", PlotLayerWeights(), model=f"train{suffix}")
    return g
