"""UDify: one model that tags, lemmatises and parses the sentences of many treebanks.

Paper    Kondratyuk and Straka 2019, 75 Languages, 1 Model: Parsing Universal Dependencies Universally, arXiv 1904.02099
Command  videobert run text.udify --train_files 'ud/**/*-ud-train.conllu' --test_files 'ud/**/*-ud-test.conllu'
         with a treebank of 2,000 sentences and a small encoder: --train.epochs 10 --train.learning_rate 4e-4
         --train.head_rate 2.5 --train.task.dropout 0.2 --train.task.word_dropout 0.1
Cost     the paper's 124 treebanks: 80 epochs of 21,695 steps of 32 sentences; the small one: TODO
Expect   the paper, means over treebanks: LAS 80.4 (UDPipe Future: 79.8); UD_English-EWT: UAS 90.96, LAS 88.50
"""

from __future__ import annotations

from models.tasks import ParseDependencies
from pipeline import Graph
from stages.text.plot_layer_weights import PlotLayerWeights
from stages.text.read_conllu import ReadConllu
from stages.text.write_conllu import WriteConllu
from stages.train import Train
from workflows.text.finetune import finetune, report

__all__ = ["graph", "report"]

RECIPE = Train(
    task=ParseDependencies(),
    epochs=80,
    global_batch_size=32,
    optimizer="bert_adam",
    beta2=0.99,
    clip_norm=5.0,
    learning_rate=4e-5,
    head_rate=25.0,
    head_first=1.0,
    schedule="inverse_square_root",
    warmup=1 / 79,
)
"""The paper's: the head learns at 1e-3, the encoder at 4e-5, frozen in the first epoch; a warm-up of one epoch."""


def graph(
    train_files: str,
    dev_files: str | None = None,
    test_files: str | None = None,
    encoder: str = "google-bert/bert-base-multilingual-cased",
    seeds: int = 1,
    train: Train = RECIPE,
) -> Graph:
    """From treebanks to a parser, its official figures, the parsed files and the weights of the encoder's layers.

    Args:
        train_files: CoNLL-U to train on: a file, a folder or a glob; several with commas between.
        dev_files: CoNLL-U to follow the training on.
        test_files: CoNLL-U to test on, or without annotation to parse.
        encoder: BERT-type encoder: a name on the hub or a directory.
        seeds: Training runs, of which the table shows mean and spread.
        train: The training run, and with it the task.
    """
    g = Graph()
    g.add("rows", ReadConllu(train=train_files, dev=dev_files, test=test_files))
    finetune(g, train.task, train, encoder, seeds)
    for suffix in [f"-{i}" for i in range(seeds)] if seeds > 1 else [""]:
        g.add(f"conllu{suffix}", WriteConllu(), predictions=f"predictions{suffix}")
        g.add(f"layers{suffix}", PlotLayerWeights(), model=f"train{suffix}")
    return g
