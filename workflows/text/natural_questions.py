"""Natural Questions: long and short answers on whole Wikipedia pages.

Paper    Alberti, Lee, Collins 2019, A BERT Baseline for the Natural Questions, arXiv 1901.08634
Command  videobert run text.natural_questions --pages.train "v1.0/train/*.jsonl.gz" --pages.test "v1.0/dev/*.jsonl.gz"
         --encoder MODEL, a directory that text.squad trained: the paper starts from there
Cost     42 GB of pages become about 500,000 training windows of 512 wordpieces; BERT-large, one epoch: some hours on
         one GPU, and as long again for the answers to the 7,830 dev pages
Expect   the paper, BERT-large, dev: best F1 of long answers 0.647, of short ones 0.527. A node "answers" has the
         predictions for the official scorer
"""

from __future__ import annotations

from models.tasks import NaturalQuestions
from pipeline import Graph
from stages.text.read_natural_questions import ReadNaturalQuestions
from stages.text.write_natural_questions import WriteNaturalQuestions
from stages.train import Train
from workflows.text.finetune import finetune, report

__all__ = ["graph", "report"]


def graph(
    pages: ReadNaturalQuestions,
    encoder: str = "google-bert/bert-large-uncased",
    seeds: int = 1,
    train: Train = Train(
        task=NaturalQuestions(), epochs=1, global_batch_size=8, learning_rate=3e-5, optimizer="bert_adam"
    ),
) -> Graph:
    """From Natural Questions' files to a trained model, its figures and its answers in the official format.

    Args:
        pages: The files, original or simplified. Thresholds are chosen on those for dev, where there are any.
        encoder: BERT-type encoder: a name on the hub or a directory, best of a model trained on SQuAD.
        seeds: Training runs, of which the table shows mean and spread.
        train: The training run, and with it the task.
    """
    g = Graph()
    g.add("rows", pages)
    finetune(g, train.task, train, encoder, seeds)
    for node in [name for name in g if name.startswith("predictions")]:
        g.add(node.replace("predictions", "answers"), WriteNaturalQuestions(), predictions=node)
    return g
