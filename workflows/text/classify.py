"""Classification or regression of texts, or pairs of texts, from tables with columns of any name.

Paper    Devlin et al. 2019, BERT: Pre-training of Deep Bidirectional Transformers, arXiv 1810.04805, section 4.1
Command  videobert run text.classify --table.train train.tsv --table.dev dev.tsv --table.test test.tsv
         --table.text sentence; regression: --train.task ScoreText
Cost     TREC-6 (5,452 questions), 4 epochs of the small BERT of the extra "demo": 2.5 minutes on one core
Expect   there, at --train.learning_rate 1e-4, an accuracy of about 0.97
"""

from __future__ import annotations

from models.tasks import ClassifyText
from pipeline import Graph
from stages.text.read_table import ReadTable
from stages.train import Train
from workflows.text.finetune import finetune, report

__all__ = ["graph", "report"]


def graph(
    table: ReadTable,
    encoder: str = "google-bert/bert-base-uncased",
    seeds: int = 1,
    train: Train = Train(task=ClassifyText(), epochs=3, global_batch_size=32, learning_rate=5e-5),
) -> Graph:
    """From labelled texts to a trained classifier and its figures.

    Args:
        table: The files and their columns.
        encoder: BERT-type encoder: a name on the hub or a directory.
        seeds: Training runs, of which the table shows mean and spread.
        train: The training run, and with it the task: ClassifyText or ScoreText.
    """
    g = Graph()
    g.add("rows", table)
    return finetune(g, train.task, train, encoder, seeds)
