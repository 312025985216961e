"""A task of GLUE from its own files: single sentences, pairs, and the similarity of two.

Paper    Devlin et al. 2019, arXiv 1810.04805, section 4.1; Wang et al. 2019, GLUE, arXiv 1804.07461
Command  videobert run text.glue --folder glue_data --name rte --seeds 5
Cost     BERT-base, 3 epochs on one GPU: minutes, for MNLI, QQP and QNLI an hour. The small BERT of the extra
         "demo" takes two minutes and a half for CoLA on one core
Expect   test scores of BERT-base: MNLI 84.6, QNLI 90.5, SST-2 93.5, CoLA 52.1, RTE 66.4; MRPC dev accuracy 84.6 at
         2e-5. The paper takes the best of 5e-5, 4e-5, 3e-5 and 2e-5 on dev; the small sets vary by points with the seed
"""

from __future__ import annotations

from models.tasks import ClassifyText, ScoreText, Task
from pipeline import Graph
from stages.text.read_glue import GLUE, Name, ReadGlue
from stages.train import Train
from workflows.text.finetune import SPLITS, finetune, report

__all__ = ["graph", "report"]

FIGURES = {"cola": "matthews", "mrpc": "f1", "qqp": "f1"}
"""What GLUE reports beside or instead of accuracy."""


def graph(
    folder: str,
    name: Name,
    encoder: str = "google-bert/bert-base-uncased",
    seeds: int = 1,
    max_tokens: int = 128,
    train: Train = Train(task=ClassifyText(), epochs=3, global_batch_size=32, learning_rate=5e-5),
) -> Graph:
    """From GLUE's files to a trained model, its figures on dev and its answers for test.

    Args:
        folder: GLUE's folder, or that of the one task.
        name: Which of the nine tasks.
        encoder: BERT-type encoder: a name on the hub or a directory.
        seeds: Training runs, of which the table shows mean and spread.
        max_tokens: Wordpieces of an example.
        train: The training run; its task follows from the name.
    """
    g = Graph()
    g.add("rows", ReadGlue(folder=folder, name=name))
    return finetune(g, glue_task(name, max_tokens), train, encoder, seeds, splits=glue_splits(name))


def glue_splits(name: Name) -> tuple[str, ...]:
    """What a task's model is measured on: for MNLI also the genres that are not in training."""
    return (*SPLITS, *(f"{split}_mismatched" for split in SPLITS)) if name == "mnli" else SPLITS


def glue_task(name: Name, max_tokens: int = 128) -> Task:
    """Regression for STS-B; else classification with the task's labels and figure."""
    labels = GLUE[name].labels
    if not labels:
        return ScoreText(max_tokens=max_tokens)
    return ClassifyText(labels=labels, max_tokens=max_tokens, figure=FIGURES.get(name, "accuracy"))
