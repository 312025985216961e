"""Sentiment towards aspects, by asking BERT about each in an auxiliary sentence.

Paper    Sun, Huang, Qiu 2019, arXiv 1903.09588: SentiHood, and SemEval-2014 task 4
Command  videobert run text.absa --train_file sentihood-train.json --dev_file sentihood-dev.json
         --test_file sentihood-test.json --train.task.form NLI-B
Cost     SentiHood (15,008 questions, three times as many with the forms -B) with BERT base: an hour on one GPU
Expect   with BERT base on SentiHood, NLI-B: strict accuracy 0.798, macro F1 0.875, AUC 0.966, sentiment 0.928, its AUC
         0.969; on SemEval-2014, QA-B: sentiment 0.859, 0.899 and 0.956 of 4, 3 and 2 labels
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from models.tasks import JudgeAspects
from pipeline import Graph, Stage
from stages.text.read_semeval_absa import ReadSemevalAbsa
from stages.text.read_sentihood import ReadSentihood
from stages.train import Train
from workflows.text.finetune import finetune, report

__all__ = ["graph", "report"]


def graph(
    train_file: str,
    dev_file: str | None = None,
    test_file: str | None = None,
    encoder: str = "google-bert/bert-base-uncased",
    seeds: int = 1,
    train: Train = Train(
        task=JudgeAspects(), epochs=4, global_batch_size=24, learning_rate=2e-5, evaluate_examples=100_000
    ),
) -> Graph:
    """From the data's own files to a trained model, its figures and its answers.

    Args:
        train_file: SentiHood's JSON or SemEval-2014's XML to train on.
        dev_file: The file to choose the best model by, by strict accuracy or F1 of aspects; of SemEval-2014, which has
            none, a tenth of the training sentences is taken.
        test_file: The file to test on.
        encoder: BERT-type encoder: a name on the hub or a directory.
        seeds: Training runs, of which the table shows mean and spread.
        train: The training run, and with it the task and the form of its auxiliary sentences.
    """
    g = Graph()
    reader: Stage
    figure: str | None
    if Path(train_file).suffix == ".xml":
        figure = "aspect_f1"
        share = 0.0 if dev_file else 0.1
        reader = ReadSemevalAbsa(train=train_file, dev=dev_file, test=test_file, dev_fraction=share)
    else:
        figure = "aspect_strict_accuracy" if dev_file else None
        reader = ReadSentihood(train=train_file, dev=dev_file, test=test_file)
    g.add("rows", reader)
    train = replace(train, select_by=train.select_by or figure)
    return finetune(g, train.task, train, encoder, seeds)
