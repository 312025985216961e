"""Conditional BERT augmentation: what new training sentences are worth to a CNN, an RNN and BERT; style flip.

Paper    Wu et al. 2018, Conditional BERT Contextual Augmentation, arXiv 1812.06705
Command  videobert run text.augment --table.train train.tsv --table.dev dev.tsv --table.test test.tsv
         --table.text sentence --rounds 10 --conditional.epochs 1 --seeds 5; with two labels --flip FlipStyle
Cost     a round trains three classifiers twice, and the language model
Expect   with the CNN and the RNN as by default, which is as the authors train them, their mean over SST5, SST2, Subj,
         MPQA, RT and TREC in a second run: CNN 76.77 to 78.63, RNN 77.40 to 79.45; the paper 77.5 to 79.6 and 77.4 to
         79.4. BERT gains little

Every round trains the language model on, writes new sentences, and trains every classifier with the same seed without
and with them. Of several rounds the one that is best on dev counts, of those without as of those with: the best of many
is above one of them, new sentences or not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, get_args

from rich.table import Table
from rich.text import Text

from models.tasks import ClassifyText, ConditionalLM, MaskedLM
from pipeline import Artifact, Graph, UserError
from pipeline.progress import CONSOLE
from stages.encode import Encode
from stages.evaluate import Evaluate
from stages.load_encoder import LoadEncoder
from stages.text.augment import Augment
from stages.text.flip_style import FlipStyle
from stages.text.read_corpus import ReadCorpus
from stages.text.read_table import ReadTable
from stages.text.sample_rows import SampleRows
from stages.text.start_word_encoder import StartWordEncoder
from stages.train import Train
from workflows.text.finetune import spread

Kind = Literal["cnn", "rnn", "bert"]
SHOWN = 5
"""Sentences of each kind that the report shows."""


def graph(
    table: ReadTable,
    share: float = 1.0,
    encoder: str = "google-bert/bert-base-uncased",
    texts: str | None = None,
    classifiers: tuple[Kind, ...] = ("cnn", "rnn", "bert"),
    rounds: int = 1,
    seeds: int = 1,
    conditional: Train = Train(task=ConditionalLM(), epochs=10, global_batch_size=32, learning_rate=5e-5),
    augment: Augment = Augment(),
    bert: Train = Train(task=ClassifyText(), epochs=4, global_batch_size=32, learning_rate=5e-5, select_by="accuracy"),
    words: Train = Train(
        task=ClassifyText(),
        epochs=100,
        global_batch_size=64,
        learning_rate=1e-4,
        schedule="constant",
        warmup=0.0,
        weight_decay=0.0,
        evaluate_every=100,
        select_by="accuracy",
        patience=20,
    ),
    start: StartWordEncoder = StartWordEncoder(),
    pretrain: Train = Train(
        task=MaskedLM(max_length=64, next_sentence=False), epochs=3, global_batch_size=64, learning_rate=2e-4
    ),
    flip: FlipStyle | None = None,
) -> Graph:
    """From labelled sentences to classifiers with and without new ones, and to sentences under the opposite label.

    Args:
        table: The files and their columns; a dev split is needed, to choose by.
        share: Share of the training rows to use, drawn anew for every seed.
        encoder: BERT-type encoder with segment embeddings: a name on the hub or a directory.
        texts: Plain-text files, a sentence a line, whose hidden words the encoder learns first. One that was saved
            without the layer that predicts words needs it.
        classifiers: What the new sentences are tried on.
        rounds: How often the language model is trained on and writes new sentences.
        seeds: Runs of everything, of which the table shows mean and spread.
        conditional: The training of the language model, a round.
        augment: How sentences are rewritten.
        bert: The training of BERT as a classifier.
        words: The training of the CNN and of the RNN; 100 steps are about an epoch of the authors' sets.
        start: What those start as; its kind is set.
        pretrain: The training on plain text.
        flip: Whether and how to rewrite test sentences under the opposite label.
    """
    if rounds < 1 or seeds < 1:
        raise UserError("rounds and seeds must be at least 1")
    if not table.dev:
        raise UserError("--table.dev is needed: the best classifier is chosen on it")
    if flip and "bert" not in classifiers:
        raise UserError("--flip needs bert among the classifiers: it hides the words that BERT attends to")
    g = Graph()
    g.add("rows", table)
    language = g.add("encoder", LoadEncoder(encoder=encoder))
    if texts:
        g.add("texts", ReadCorpus(texts=texts))
        g.add("text-examples", Encode(task=pretrain.task), rows="texts", model="encoder")
        language = g.add("language", pretrain, model="encoder", examples="text-examples")

    def classify(name: str, seed: int, number: int, examples: str) -> None:
        """Every classifier on the same examples."""
        for kind in classifiers:
            model = "encoder" if kind == "bert" else f"start-{kind}-{seed}"
            if model not in g:
                g.add(model, replace(start, kind=kind, seed=seed), model="encoder")
            run = replace(bert if kind == "bert" else words, seed=rounds * seed + number)
            g.add(f"{kind}-{name}", run, model=model, examples=examples)
            g.add(f"{kind}-{name}-test", Evaluate(task=run.task), model=f"{kind}-{name}", examples=examples)

    for seed in range(seeds):
        rows = g.add(f"rows-{seed}", SampleRows(share=share, seed=seed), rows="rows")
        old = g.add(f"examples-{seed}", Encode(task=bert.task), model="encoder", rows=rows)
        masked = g.add(f"masked-{seed}", Encode(task=conditional.task), rows=rows, model="encoder")
        model = language
        for number in range(rounds):
            name, round_seed = f"{seed}-new-{number}", rounds * seed + number
            model = g.add(f"conditional-{name}", replace(conditional, seed=round_seed), model=model, examples=masked)
            more = g.add(f"rows-{name}", replace(augment, seed=round_seed), rows=rows, model=model)
            new = g.add(f"examples-{name}", Encode(task=bert.task), model="encoder", rows=rows, more=more)
            classify(f"{seed}-old-{number}", seed, number, old)
            classify(name, seed, number, new)
        if flip:
            others = [kind for kind in classifiers if kind != "bert"]
            judge = {"judge": f"{others[0]}-{seed}-old-0"} if others else {}
            g.add(f"flip-{seed}", flip, rows=rows, model=model, classifier=f"bert-{seed}-old-0", **judge)
    return g


def report(artifacts: Mapping[str, Artifact]) -> None:
    """Print each classifier's test accuracy without and with new sentences, some of those, and flipped ones."""
    table = Table(title="test accuracy", title_justify="left", box=None, pad_edge=False)
    for column in ("", "without", "with", "gain"):
        table.add_column(column, justify="right" if column else "left")
    for kind in get_args(Kind):
        pairs = [pair for seed in range(len(artifacts)) if (pair := accuracies(artifacts, kind, seed))]
        if pairs:
            without, augmented = zip(*pairs, strict=True)
            gains = [b - a for a, b in pairs]
            table.add_row(kind, spread(without), spread(augmented), spread(gains))
    CONSOLE.print(table)
    for name, artifact in artifacts.items():
        if artifact.manifest["stage"] == Augment.__name__ and name.endswith("-0-new-0"):
            show(f"{name}, {artifact.path}", artifact, ("label", "original", "text"))
        if artifact.manifest["stage"] == FlipStyle.__name__:
            figures = ", ".join(f"{k} {v:.4f}" for k, v in artifact.manifest["figures"].items())
            show(f"{name}, {artifact.path}: {figures}", artifact, ("target", "original", "text"))


def accuracies(artifacts: Mapping[str, Artifact], kind: str, seed: int) -> tuple[float, float] | None:
    """Test accuracy of a classifier without new sentences and with them, each in the round that is best on dev."""

    def accuracy(name: str) -> float:
        return float(artifacts[name].manifest["metrics"].get("accuracy", math.nan))

    best = []
    for arm in ("old", "new"):
        runs = [name for name in artifacts if re.fullmatch(rf"{kind}-{seed}-{arm}-\d+", name)]
        runs = [name for name in runs if f"{name}-test" in artifacts]
        if not runs:
            return None
        best.append(accuracy(f"{max(runs, key=accuracy)}-test"))
    return best[0], best[1]


def show(title: str, artifact: Artifact, columns: tuple[str, ...]) -> None:
    """The first rows of an artifact."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column)
    for row in artifact.read(list(columns)).slice(0, SHOWN).to_pylist():
        table.add_row(*(Text(row[column]) for column in columns))
    CONSOLE.print(table)
