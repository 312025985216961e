"""Names in text, or any other tags of words, by BERT's first wordpieces.

Paper    Devlin, Chang, Lee, Toutanova 2019, arXiv 1810.04805, section 5.3: CoNLL-2003
Command  videobert run text.ner --train_file eng.train --dev_file eng.testa --test_file eng.testb --scheme IOB1
Cost     CoNLL-2003 (14,041 sentences) with its documents as context and BERT base: an hour on one GPU
Expect   there, a span F1 of 0.924 on test; without the documents (--train.task.document_context false) 0.90 to 0.917
"""

from __future__ import annotations

from typing import Literal

from models.tasks import TagWords
from pipeline import Graph
from stages.text.read_conll import ReadConll
from stages.train import Train
from workflows.text.finetune import finetune, report

__all__ = ["graph", "report"]


def graph(
    train_file: str,
    dev_file: str | None = None,
    test_file: str | None = None,
    scheme: Literal["BIO", "IOB1", "BIOES", "none"] = "BIO",
    word_column: int = 0,
    tag_column: int = -1,
    encoder: str = "google-bert/bert-base-cased",
    seeds: int = 1,
    train: Train = Train(task=TagWords(document_context=True), epochs=4, global_batch_size=32, learning_rate=5e-5),
) -> Graph:
    """From column files to a trained tagger, its figures and its answers.

    Args:
        train_file: Column file to train on: a word a line, sentences parted by blank lines, documents by -DOCSTART-.
        dev_file: Column file to choose the best model by: by the F1 of spans, or the accuracy of tags that mark none.
        test_file: Column file to test on.
        scheme: How the files mark spans; none for tags that mark none, parts of speech for example.
        word_column: Column of the word, from 0; negative ones count from the last.
        tag_column: Column of the tag, from 0; negative ones count from the last.
        encoder: BERT-type encoder: a name on the hub or a directory. Names are easier to tell with a cased one.
        seeds: Training runs, of which the table shows mean and spread.
        train: The training run, and with it the task: its context, its random field.
    """
    g = Graph()
    reader = ReadConll(
        train=train_file, dev=dev_file, test=test_file, scheme=scheme, word_column=word_column, tag_column=tag_column
    )
    g.add("rows", reader)
    figure = ("accuracy" if scheme == "none" else "f1") if dev_file else None
    return finetune(g, train.task, train, encoder, seeds, choose_by=figure)
