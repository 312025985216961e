"""Span question answering: SQuAD version 1.1, and version 2 with its questions that have no answer.

Paper    Devlin et al. 2019, arXiv 1810.04805, sections 4.2 and 4.3; Rajpurkar et al. 2016, 2018
Command  videobert run text.squad --squad.train train-v1.1.json --squad.test dev-v1.1.json
         version 2: --squad.train train-v2.0.json --squad.dev dev-v2.0.json --train.task.unanswerable true
Cost     BERT-base, 2 epochs over 88,000 questions on one GPU: less than an hour; version 2 half as much again.
         A thousand questions with the small BERT of the extra "demo", 4 epochs: ten minutes on one core
Expect   version 1.1, dev: BERT-base exact match 0.8125 and F1 0.8841, BERT-large 0.8439 and 0.9087; version 2, dev:
         BERT-large F1 about 0.83 (google-research/bert). The official dev file is what others report as their result:
         give it as the test file, or as dev where the threshold of "no answer" is chosen on it (best_f1)
"""

from __future__ import annotations

from models.tasks import SpanQA
from pipeline import Graph
from stages.text.read_squad import ReadSquad
from stages.train import Train
from workflows.text.finetune import finetune, report

__all__ = ["graph", "report"]


def graph(
    squad: ReadSquad,
    encoder: str = "google-bert/bert-base-uncased",
    seeds: int = 1,
    train: Train = Train(
        task=SpanQA(), epochs=2, global_batch_size=12, learning_rate=3e-5, optimizer="bert_adam", evaluate_every=2000
    ),
) -> Graph:
    """From files in SQuAD's format to a trained answerer and its figures.

    Args:
        squad: The files; one file can be split by article.
        encoder: BERT-type encoder: a name on the hub or a directory.
        seeds: Training runs, of which the table shows mean and spread.
        train: The training run, and with it the task.
    """
    g = Graph()
    g.add("rows", squad)
    return finetune(g, train.task, train, encoder, seeds)
