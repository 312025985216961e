"""Sentiment towards aspects, by asking BERT about each in an auxiliary sentence.

Paper    Sun, Huang, Qiu 2019, arXiv 1903.09588: SentiHood, and SemEval-2014 task 4
Command  videobert run text.absa --train_file sentihood-train.json --dev_file sentihood-dev.json
         --test_file sentihood-test.json --train.task.form NLI-B
Cost     SentiHood (15,008 questions, three times as many with the forms -B) with BERT base: an hour on one GPU;
         with the forms -M and the small BERT of the extra "demo" 8 minutes on one core
Expect   with BERT base on SentiHood, NLI-B: strict accuracy 0.798, macro F1 0.875, AUC 0.966, sentiment 0.928, its AUC
         0.969; on SemEval-2014, QA-B: sentiment 0.859, 0.899 and 0.956 of 4, 3 and 2 labels
"""

from __future__ import annotations

from pathlib import Path

from models.tasks import JudgeAspects
from pipeline import Graph, Stage, UserError
from stages.text.read_semeval_absa import ReadSemevalAbsa
from stages.text.read_sentihood import ReadSentihood
from stages.train import Train
from workflows.text.finetune import finetune, report

__all__ = ["graph", "report"]


def graph(
    train_file: str,
    dev_file: str | None = None,
    test_file: str | None = None,
    dev_fraction: float = 0.0,
    encoder: str = "google-bert/bert-base-uncased",
    seeds: int = 1,
    train: Train = Train(
        task=JudgeAspects(), epochs=4, global_batch_size=24, learning_rate=2e-5, evaluate_examples=100_000
    ),
) -> Graph:
    """From the data's own files to a trained model, its figures and its answers.

    Args:
        train_file: SentiHood's JSON or SemEval-2014's XML to train on.
        dev_file: The file to choose the best model by: by the strict accuracy of aspects, of SemEval-2014 by their F1.
        test_file: The file to test on.
        dev_fraction: Share of SemEval-2014's training sentences to choose by instead; it has no dev file, and the
            authors take what four epochs on all of them give.
        encoder: BERT-type encoder: a name on the hub or a directory.
        seeds: Training runs, of which the table shows mean and spread.
        train: The training run, and with it the task and the form of its auxiliary sentences.
    """
    g = Graph()
    reader: Stage
    if Path(train_file).suffix == ".xml":
        figure = "aspect_f1"
        reader = ReadSemevalAbsa(train=train_file, dev=dev_file, test=test_file, dev_fraction=dev_fraction)
    else:
        if dev_fraction:
            raise UserError("dev_fraction is for SemEval-2014; SentiHood has a dev file")
        figure = "aspect_strict_accuracy"
        reader = ReadSentihood(train=train_file, dev=dev_file, test=test_file)
    g.add("rows", reader)
    return finetune(g, train.task, train, encoder, seeds, choose_by=figure if dev_file or dev_fraction else None)
