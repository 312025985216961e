"""Intent and slots of utterances by one BERT.

Paper    Chen, Zhuo, Wang 2019, arXiv 1902.10909
Command  videobert run text.intents --folder snips/
Cost     SNIPS (13,084 utterances) with the small BERT of the extra "demo": 7 minutes on one core
Expect   there, 5 epochs in batches of 32 at 2e-4, an intent accuracy of 0.990 and a slot F1 of 0.947;
         with BERT base 0.986, 0.970 and 0.928 of the utterances exactly right, on ATIS 0.975, 0.961 and 0.882
"""

from __future__ import annotations

from models.tasks import LabelUtterances
from pipeline import Graph
from stages.text.read_intents import ReadIntents
from stages.train import Train
from workflows.text.finetune import finetune, report

__all__ = ["graph", "report"]


def graph(
    folder: str,
    dev: str | None = "dev",
    encoder: str = "google-bert/bert-base-uncased",
    seeds: int = 1,
    train: Train = Train(task=LabelUtterances(), epochs=10, global_batch_size=128, learning_rate=5e-5),
) -> Graph:
    """From folders of seq.in, seq.out and label to a trained model, its figures and its answers.

    Args:
        folder: Folder with the folders train, dev and test, each with the files seq.in, seq.out and label.
        dev: Name of the folder to choose the best model by, "valid" for example: by the share of utterances that are
            exactly right. null where there is none.
        encoder: BERT-type encoder: a name on the hub or a directory.
        seeds: Training runs, of which the table shows mean and spread.
        train: The training run, and with it the task and its random field.
    """
    g = Graph()
    g.add("rows", ReadIntents(folder=folder, dev=dev))
    return finetune(g, train.task, train, encoder, seeds, choose_by="exact_match" if dev else None)
