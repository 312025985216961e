"""UDify: part of speech, features, lemma and dependency tree of every word, in one model for many treebanks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self, cast

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from models.conllu import UNKNOWN, Words, annotate, bare, parse
from models.encoder import Encoded
from models.lemma_rules import apply_rule, lemma_rule
from models.parser_head import TAGS, ParserHead, Scores, Sizes, smoothed_nll
from models.scoring.conll18 import conll18
from models.tasks.task import Batch, Examples, Row, Task, pad
from models.tree_decoding import likeliest_trees, reference_trees
from models.vocabulary import Vocabulary
from models.words import Pieces, pieces_of, windows

INTS = pa.list_(pa.int32())
STRINGS = pa.list_(pa.string())


@dataclass(frozen=True)
class ParseDependencies(Task):
    """UDify (Kondratyuk and Straka 2019) on sentences in CoNLL-U.

    Every task reads the first wordpiece of a word, from a learned mix of all layers of its own. Tags, features and
    lemma rules are classified, trees are scored by a biaffine parser and found as maximum spanning trees. Treebanks
    differ in nothing: a sentence does not say where it is from. A word without any wordpiece is [UNK]: without it there
    is no tree.
    """

    columns: ClassVar[tuple[str, ...]] = ("id", "treebank", "conllu", "split")
    example_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("treebank", pa.string()),
            ("conllu", pa.string()),
            ("input_ids", INTS),
            ("window_lengths", INTS),
            ("first", INTS),
            *((name, INTS) for name in (*TAGS, "heads", "deprels")),
            ("length", pa.int32()),
            ("split", pa.string()),
        ]
    )
    prediction_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("treebank", pa.string()),
            *((name, STRINGS) for name in ("words", "upos", "feats", "lemmas")),
            ("heads", INTS),
            ("deprels", STRINGS),
            ("conllu", pa.string()),
        ]
    )
    learned: ClassVar[tuple[str, ...]] = ("upos", "feats", "lemma_rules", "deprels")
    loss_terms: ClassVar[tuple[str, ...]] = (*TAGS, "arcs", "deprels")
    all_layers: ClassVar[bool] = True

    upos: tuple[str, ...] = ()
    """Parts of speech; none for those of the training rows, the most frequent first. So with the three below."""
    feats: tuple[str, ...] = ()
    """Whole FEATS columns."""
    lemma_rules: tuple[str, ...] = ()
    """Rules that make lemmas of forms."""
    deprels: tuple[str, ...] = ()
    """Relations, with their subtypes."""
    word_dropout: float = 0.2
    """Share of the wordpieces of a training sentence that are replaced by [MASK]."""
    layer_dropout: float = 0.1
    """Probability that a layer has no part in a task's mix at a training step."""
    dropout: float = 0.5
    """Of the mixed vectors and inside the parser."""
    label_smoothing: float = 0.03
    """Of parts of speech, features and lemma rules."""
    arc_width: int = 768
    """Of the vectors that heads are found by."""
    label_width: int = 256
    """Of the vectors that relations are found by."""
    max_tokens: int = 512
    """Wordpieces a sequence holds. Longer sentences are read in windows, every word where it has context around."""
    faithful: bool = False
    """As the reference implementation does: layers are dropped when predicting too, which makes its answers random;
    trees maximise the sum of probabilities of labelled arcs, not of log-probabilities, and may have several roots,
    which its scorer lets pass; words are cut by WordPiece alone, so that punctuation in them turns to [UNK]; the
    losses of tags are means over sentences of their words' means."""

    # ------------------------------------------------------------------------------------------- what is learned

    def learn(self, tables: Iterable[pa.Table]) -> Self:
        counts: dict[str, Counter[str]] = {name: Counter() for name in self.learned}
        for table in tables:
            for sentence in table["conllu"].to_pylist():
                gold = parse(sentence)
                if gold.heads[0] == UNKNOWN:
                    continue
                counts["upos"].update(gold.upos)
                counts["feats"].update(gold.feats)
                counts["lemma_rules"].update(map(lemma_rule, gold.words, gold.lemmas))
                counts["deprels"].update(gold.deprels)
        if not counts["upos"]:
            raise ValueError("it has no annotated row whose split is train")
        # The most frequent first, as an adaptive softmax wants them.
        found: dict[str, Any] = {n: tuple(sorted(c, key=lambda label: (-c[label], label))) for n, c in counts.items()}
        return replace(self, **{name: labels for name, labels in found.items() if not getattr(self, name)})

    @cached_property
    def _numbers(self) -> dict[str, dict[str, int]]:
        return {name: {label: i for i, label in enumerate(getattr(self, name))} for name in self.learned}

    # ------------------------------------------------------------------------------------------- examples

    def encode(self, row: Row, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
        """A sentence is one example, however many windows. A label that training has not seen has the number -1: it
        has no part in the loss, and counts as wrong in the figures, which compare texts.

        A row of new text may have ``words`` (a list, or text with spaces between) in place of ``conllu``.
        """
        sentence = row.get("conllu") or bare(_words(row))
        gold = parse(sentence)
        if row.get("split") == "train" and gold.heads[0] == UNKNOWN:
            raise ValueError("no tree to learn from: HEAD is _")
        cut = self._windows(gold.words, tokenizer)
        starts = np.cumsum([0, *(len(window.input_ids) for window in cut)])
        ids = np.concatenate([window.input_ids for window in cut])
        first = np.concatenate([window.first + start for window, start in zip(cut, starts, strict=False)])
        example = {
            "id": row.get("id"),
            "treebank": row.get("treebank"),
            "conllu": sentence,
            "input_ids": ids,
            "window_lengths": [len(window.input_ids) for window in cut],
            "first": first,
            "upos": self._number("upos", gold.upos),
            "feats": self._number("feats", gold.feats),
            "lemmas": self._number("lemma_rules", map(lemma_rule, gold.words, gold.lemmas)),
            "heads": gold.heads,
            "deprels": self._number("deprels", gold.deprels),
            "length": len(ids),
            "split": row.get("split"),
        }
        return [example]

    def _windows(self, words: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[Any]:
        pieces = [_word_piece(w, tokenizer) for w in words] if self.faithful else pieces_of(words, tokenizer)
        known: Pieces = [ids or [tokenizer.unk_token_id] for ids in pieces]
        return windows(known, [], [], self.max_tokens, tokenizer)

    def _number(self, name: str, labels: Iterable[str]) -> list[int]:
        numbers = self._numbers[name]
        return [numbers.get(label, -1) for label in labels]

    def draw(self, examples: Examples, index: int, rng: np.random.Generator, vocabulary: Vocabulary) -> dict[str, Any]:
        """A training sentence with wordpieces masked; one of another split as it is."""
        example = examples[index]
        if self.word_dropout and example["split"] == "train":
            ids = example["input_ids"]
            hidden = rng.random(len(ids)) < self.word_dropout
            hidden &= (ids != vocabulary.cls) & (ids != vocabulary.sep)
            example["input_ids"] = np.where(hidden, vocabulary.mask, ids)
        return example

    def collate(self, examples: Sequence[Row], vocabulary: Vocabulary) -> Batch:
        """A row of the batch is a window. ``labels`` is about sentences: ``first`` [S, W], where in the flattened
        rows each word begins, ``mask`` [S, W], and of the words one after another [N] their numbers and ``weight``.
        """
        rows: list[np.ndarray] = []
        longest = max(max(e["window_lengths"]) for e in examples)
        first = []
        for example in examples:
            ends = np.cumsum(example["window_lengths"])
            cut = np.split(example["input_ids"], ends[:-1])
            window = np.searchsorted(ends, example["first"], side="right")
            within = example["first"] - np.concatenate([[0], ends])[window]
            first.append((len(rows) + window) * longest + within)
            rows += cut
        lengths = torch.tensor([len(row) for row in rows])
        sizes = [len(f) for f in first]
        labels = {name: _flat(examples, name) for name in (*TAGS, "heads", "deprels")}
        labels["first"] = pad(first, 0)
        labels["mask"] = torch.arange(max(sizes)) < torch.tensor(sizes)[:, None]
        share = np.repeat(1 / np.array(sizes), sizes) if self.faithful else np.ones(sum(sizes))
        labels["weight"] = torch.from_numpy(share.astype(np.float32))
        input_ids = pad(rows, vocabulary.pad)
        attention_mask = (torch.arange(longest) < lengths[:, None]).long()
        batch = Batch(input_ids, attention_mask, torch.zeros_like(input_ids), labels, examples=examples)
        batch.counts = {name: float(labels["weight"][labels[name] >= 0].double().sum()) for name in TAGS}
        batch.counts["arcs"] = float((labels["heads"] >= 0).sum())
        batch.counts["deprels"] = float(((labels["heads"] >= 0) & (labels["deprels"] >= 0)).sum())
        return batch

    # ------------------------------------------------------------------------------------------- objective

    def head(self, config: PreTrainedConfig) -> nn.Module:
        return ParserHead(
            Sizes(
                width=config.hidden_size,
                n_layers=config.num_hidden_layers,
                n_upos=len(self.upos),
                n_feats=len(self.feats),
                n_lemmas=len(self.lemma_rules),
                n_deprels=len(self.deprels),
                arc_width=self.arc_width,
                label_width=self.label_width,
                dropout=self.dropout,
                layer_dropout=self.layer_dropout,
                always_drops=self.faithful,
            )
        )

    def loss(self, head: nn.Module, encoded: Encoded, batch: Batch, totals: Mapping[str, float]) -> dict[str, Tensor]:
        head = cast(ParserHead, head)
        scores: Scores = head(encoded, batch.labels["first"], batch.labels["mask"])
        heads_N, deprels_N = batch.labels["heads"], batch.labels["deprels"]
        terms = {
            name: smoothed_nll(scores.tags[name], batch.labels[name], self.label_smoothing) * batch.labels["weight"]
            for name in TAGS
        }
        terms["arcs"] = smoothed_nll(scores.arcs_NH, heads_N, 0.0)
        target_N = deprels_N.masked_fill(heads_N < 0, -1)
        terms["deprels"] = smoothed_nll(head.label_scores(scores, heads_N.clamp(min=0)), target_N, 0.0)
        return {name: term.sum() / totals[name] for name, term in terms.items() if batch.counts[name]}

    # ------------------------------------------------------------------------------------------- answers

    def predict(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        head = cast(ParserHead, head)
        scores: Scores = head(encoded, batch.labels["first"], batch.labels["mask"])
        tags = {name: scores.tags[name].argmax(-1).tolist() for name in TAGS}
        sizes = batch.labels["mask"].sum(1).tolist()
        if self.faithful:
            heads, deprels = reference_trees(head, scores, sizes)
        else:
            heads, deprels = likeliest_trees(head, scores, sizes, self.deprels)
        answers = []
        at = 0
        for example, size in zip(batch.examples, sizes, strict=True):
            mine = slice(at, at := at + size)
            words = parse(example["conllu"]).words
            found = Words(
                words=words,
                upos=[self.upos[i] for i in tags["upos"][mine]],
                feats=[self.feats[i] for i in tags["feats"][mine]],
                lemmas=[apply_rule(w, self.lemma_rules[i]) for w, i in zip(words, tags["lemmas"][mine], strict=True)],
                heads=heads[mine],
                deprels=[self.deprels[i] for i in deprels[mine]],
            )
            answers.append(_answer(example, found))
        return answers

    def evaluate(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """Of every sentence with a tree its text as annotated by people and by the model."""
        return [
            {"treebank": example["treebank"], "gold": example["conllu"], "system": answer["conllu"]}
            for example, answer in zip(batch.examples, self.predict(head, encoded, batch, vocabulary), strict=True)
            if example["heads"][0] != UNKNOWN
        ]

    def metrics(self, rows: Iterable[Row]) -> dict[str, float]:
        """The CoNLL 2018 shared task's figures over all sentences and, of several treebanks, of each and their mean."""
        sentences = list(rows)
        figures = conll18([(r["gold"], r["system"]) for r in sentences], several_roots=self.faithful)
        treebanks = sorted({r["treebank"] for r in sentences})
        if len(treebanks) > 1:
            of_each = [
                conll18([(r["gold"], r["system"]) for r in sentences if r["treebank"] == t], self.faithful)
                for t in treebanks
            ]
            for name in list(figures):
                figures[f"mean/{name}"] = sum(f[name] for f in of_each) / len(of_each)
                figures |= {f"{t}/{name}": f[name] for t, f in zip(treebanks, of_each, strict=True)}
        return figures


def _words(row: Row) -> list[str]:
    words = row.get("words")
    if isinstance(words, str):
        words = words.split()
    if not words:
        raise ValueError('give "words", a list of words, or "conllu", the lines of a sentence')
    return [str(word) for word in words]


def _word_piece(word: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """WordPiece on a word as a whole, without BERT's cutting at punctuation and around Chinese characters before."""
    backend = tokenizer.backend_tokenizer
    lowers = getattr(backend.normalizer, "lowercase", False)
    return [token.id for token in backend.model.tokenize(word.lower() if lowers else word)]


def _flat(examples: Sequence[Row], name: str) -> Tensor:
    return torch.from_numpy(np.concatenate([e[name] for e in examples]).astype(np.int64))


def _answer(example: Row, found: Words) -> dict[str, Any]:
    columns = {n: getattr(found, n) for n in ("lemmas", "upos", "feats", "heads", "deprels")}
    return {
        "id": example["id"],
        "treebank": example["treebank"],
        "words": found.words,
        **columns,
        "conllu": annotate(example["conllu"], **columns),
    }
