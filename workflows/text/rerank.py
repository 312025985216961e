"""Passage re-ranking: BERT judges every passage that a first stage finds.

Paper    Nogueira and Cho 2019, Passage Re-ranking with BERT, arXiv 1901.04085
Command  videobert run text.rerank --triples triples.train.small.tsv --lines 6400000
         --collection.documents top1000.dev --collection.queries top1000.dev --collection.run_file top1000.dev
         --collection.qrels qrels.dev.small.tsv --collection.folds 1
         and without triples, trained on the folds of a test collection:
         videobert run text.rerank --collection.documents cran.all.1400 --collection.queries cran.qry
         --collection.qrels cranqrel --collection.numbering position --collection.scale cleverdon --preset collection
Cost     MS MARCO: 12.8 M pairs of training, two of each of the first 6.4 M triples (of 40 M), and 6.9 M of re-ranking:
         a day on one GPU
Expect   MS MARCO dev, MRR@10: 34.7 with BERT base, 36.5 with large. qrels.dev.tsv has the judgements of 55,578 queries,
         nine tenths of which top1000.dev lacks: with it MRR@10 is near .046
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from models.tasks import JudgeRelevance
from pipeline import Graph
from stages.text.retrieval.rank_documents import RankDocuments
from stages.text.retrieval.read_pairs import ReadPairs
from stages.text.retrieval.sample_pairs import SamplePairs
from stages.train import Train
from workflows.text.retrieval import Collection, add_collection, report, sample_folds, train_and_rank, watches

__all__ = ["graph", "report"]

TASK = JudgeRelevance()
RANKING = RankDocuments(sentences=1, alphas=(0.0,), name="rerank")
PRESETS = {
    # nyu-dl/dl4marco-bert's README, and what its script does where it is told nothing.
    "readme": Train(task=TASK, steps=100_000, global_batch_size=128, learning_rate=3e-6, optimizer="bert_adam"),
    "script": Train(task=TASK, steps=400_000, global_batch_size=32, learning_rate=1e-6, optimizer="bert_adam"),
    # Some thousand pairs of a small collection.
    "collection": Train(task=TASK, epochs=2, global_batch_size=32, learning_rate=1e-4),
}


def graph(
    collection: Collection,
    triples: str | None = None,
    dev: str | None = None,
    watch_fold: bool = False,
    lines: int | None = None,
    preset: Literal["readme", "script", "collection"] = "readme",
    epochs: float | None = None,
    global_batch_size: int | None = None,
    learning_rate: float | None = None,
    task: JudgeRelevance = TASK,
    encoder: str = "google-bert/bert-base-uncased",
    seeds: int = 1,
    pairs: SamplePairs = SamplePairs(),
    ranking: RankDocuments = RANKING,
    depth: int = 1000,
) -> Graph:
    """From a collection and training pairs to a re-ranked run file and its figures.

    Args:
        collection: Documents, queries, judgements and first stage.
        triples: Training pairs (query, relevant passage, other passage; or labelled); without them a model for each
            fold is trained on the judgements of the other folds.
        dev: Labelled pairs with query_id to watch training with.
        watch_fold: Without triples, leave the next fold out of training too and watch it on that.
        lines: Lines of the triples that are read; None reads all.
        preset: Steps, batch size and learning rate: those of the paper's README, of its script, or for a collection.
            Where training is watched, the weights with the best MRR@10 are kept.
        epochs: Passes over the training pairs, in place of the preset's steps or epochs.
        global_batch_size: Pairs a step, in place of the preset's.
        learning_rate: Peak of the learning rate, in place of the preset's.
        task: How query and passage are cut, and what a score is.
        encoder: BERT-type encoder: a name on the hub or a directory.
        seeds: Training runs, of which the table shows mean and spread.
        pairs: How pairs of the folds are drawn.
        ranking: What counts: as in the paper the score alone, or with --ranking.alphas '[0,0.25,0.5,0.75,1]' and
            --task.score logit the first stage's too, its weight chosen on the other folds.
        depth: Candidates of a query that are re-ranked; the others keep their places below.
    """
    train = replace(PRESETS[preset], task=task)
    if watches(triples, dev, watch_fold):
        train = replace(train, select_by="MRR@10")
    if epochs is not None:
        train = replace(train, steps=None, epochs=epochs)
    if global_batch_size is not None:
        train = replace(train, global_batch_size=global_batch_size)
    if learning_rate is not None:
        train = replace(train, learning_rate=learning_rate)
    g = Graph()
    add_collection(g, collection)
    if triples:
        trained_on = [g.add("pairs", ReadPairs(train=triples, dev=dev, lines=lines))]
    else:
        trained_on = sample_folds(g, collection, pairs, watch_fold)
    return train_and_rank(g, collection, trained_on, train, encoder, seeds, depth, ranking, "documents")
