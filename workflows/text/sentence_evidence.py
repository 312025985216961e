"""Ad hoc retrieval with sentence evidence: a document is as relevant as its best sentences, and as BM25 says.

Paper    Yang, Zhang and Lin 2019, Simple Applications of BERT for Ad Hoc Document Retrieval, arXiv 1903.10972
Command  videobert run text.sentence_evidence --collection.documents robust04/ --collection.queries topics.txt
         --collection.qrels qrels.txt --pairs train-v1.1.json --collection.index.b 0.5
         --collection.retrieve.feedback_documents 9 --collection.retrieve.feedback_terms 47
         --collection.retrieve.query_weight 0.3 --ranking.faithful true
Cost     Robust04: 528,000 documents, of which 250,000 candidates with some 5 M sentences are scored: hours on one GPU;
         tuning a minute, as often as one likes
Expect   Robust04, 5 folds, AP / P@20: BM25 + RM3 .3033 / .3974; + BERT on microblogs .3278 / .4287, on QA pairs .3049;
         the latter two with --ranking.faithful true: a sentence that a document lacks counts 0. Otherwise it counts as
         much as the sentence of the query's candidates that scores lowest
"""

from __future__ import annotations

from dataclasses import replace

from models.tasks import JudgeRelevance
from pipeline import Graph
from stages.text.read_squad import ReadSquad
from stages.text.retrieval.pair_questions import PairQuestions
from stages.text.retrieval.rank_documents import RankDocuments
from stages.text.retrieval.read_pairs import ReadPairs
from stages.text.retrieval.sample_pairs import SamplePairs
from stages.text.retrieval.split_sentences import SplitSentences
from stages.train import Train
from workflows.text.retrieval import Collection, add_collection, report, sample_folds, train_and_rank, watches

__all__ = ["graph", "report"]

RANKING = RankDocuments(name="sentences")


def graph(
    collection: Collection,
    pairs: str | None = None,
    dev: str | None = None,
    watch_fold: bool = False,
    train: Train = Train(task=JudgeRelevance(score="logit"), epochs=3, global_batch_size=16, learning_rate=1e-5),
    encoder: str = "google-bert/bert-base-uncased",
    seeds: int = 1,
    sample: SamplePairs = SamplePairs(),
    split: SplitSentences = SplitSentences(),
    ranking: RankDocuments = RANKING,
    depth: int = 1000,
) -> Graph:
    """From a collection and pairs of short texts to a run file, and the weights of each fold.

    Args:
        collection: Documents, queries, judgements and first stage.
        pairs: Short texts to train on: SQuAD's JSON (a question with the sentences of its paragraph), labelled pairs or
            triples. Without them a model for each fold is trained on the judgements of the other folds: on whole
            documents, cut at 512 wordpieces, for nobody has judged the sentences that it is to score.
        dev: Short texts to watch training on; labelled pairs with query_id.
        watch_fold: Without pairs, leave the next fold out of training too and watch it on that.
        train: The training run, and with it the task, also that of the scores. Where it is watched, and no other figure
            is named, the weights with the best mean average precision are kept, as in the paper.
        encoder: BERT-type encoder: a name on the hub or a directory.
        seeds: Training runs, of which the table shows mean and spread.
        sample: How pairs of the folds are drawn.
        split: How documents become sentences.
        ranking: Sentences that count, and the weights to choose from.
        depth: Candidates of a query whose sentences are scored.
    """
    if watches(pairs, dev, watch_fold):
        train = replace(train, select_by=train.select_by or "AP")
    g = Graph()
    add_collection(g, collection)
    g.add("sentences", split, documents="documents")
    if not pairs:
        trained_on = sample_folds(g, collection, sample, watch_fold)
    elif pairs.endswith(".json"):
        g.add("questions", ReadSquad(train=pairs, dev=dev))
        trained_on = [g.add("pairs", PairQuestions(), questions="questions")]
    else:
        trained_on = [g.add("pairs", ReadPairs(train=pairs, dev=dev))]
    return train_and_rank(g, collection, trained_on, train, encoder, seeds, depth, ranking, "sentences")
