"""The same sentence under another label."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.word_masks import Sentence
from pipeline import Artifact, Executor, Rejected, Resources, Stage, UserError
from stages.text.rewriter import Request, Rewriter
from stages.text.salience import Classifier


@dataclass(frozen=True, kw_only=True)
class FlipStyle(Stage):
    """Hide the words by which a classifier decides, and predict others under the opposite label.

    In   rows: id, text, label, split; model: a ConditionalLM, classifier and judge (optional): ClassifyText, each as
         Train made it of the same labels
    Out  id str, label str, target str, original str, text str (the new sentence), changes list<str> ("good > bad"),
         kept float32 (share of the words that stayed), before and after str (the label that the classifier gives the
         original and the new sentence), judge_before and judge_after str|null (the judge, which had no part in
         choosing words)

    The manifest has the share of originals that each gives their label and of new sentences that it gives the target,
    and the mean of ``kept``. Hidden words are filled one after another, the surest first, each by another word
    than stood there. After Wu et al. 2018, arXiv 1812.06705; how words are chosen and filled is ours.
    """

    version: ClassVar[str] = "2"
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "rows": ("id", "text", "label", "split"),
        "model": (),
        "classifier": (),
        "judge": (),
    }
    optional: ClassVar[frozenset[str]] = frozenset({"judge"})
    writes: ClassVar[pa.Schema] = pa.schema(
        [
            *((name, pa.string()) for name in ("id", "label", "target", "original", "text")),
            ("changes", pa.list_(pa.string())),
            ("kept", pa.float32()),
            *((name, pa.string()) for name in ("before", "after", "judge_before", "judge_after")),
        ]
    )

    split: str = "test"
    """Which rows: train, dev or test."""
    target: str | None = None
    """The label to flip to; without it the other one of two. Rows that have it already are left out."""
    by: Literal["attention", "deletion"] = "attention"
    """Which words are hidden: those the classifier's [CLS] attends to most in its last layer, or those without which
    its probability of the label falls most."""
    share: float = 0.2
    """Share of a sentence's words that are hidden, rounded, but one at least; punctuation is none."""

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UserError(f"share must be above 0 and at most 1, not {self.share:g}")

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any]:
        paths = {name: inputs[name].path for name in ("model", "classifier", "judge") if name in inputs}
        make = partial(Flipper, self, **paths)
        parts = [[p] for p in inputs["rows"].parts]
        executor.map(make, parts, out, schema=self.writes, resources=Resources(gpus=1))
        return {"figures": figures(Artifact(out, "").read().to_pylist() if parts else [])}


def figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Shares of the rows with the right label before and the target after, of each classifier; words kept."""
    found: dict[str, float] = {}
    for column in ("before", "after", "judge_before", "judge_after"):
        wanted = "target" if column.endswith("after") else "label"
        values = [row[column] == row[wanted] for row in rows if row[column] is not None]
        if values:
            found[column] = float(np.mean(values))
    if rows:
        found["kept"] = float(np.mean([row["kept"] for row in rows]))
    return found


class Flipper:
    """Rows in, rows under the other label out."""

    def __init__(self, stage: FlipStyle, model: Path, classifier: Path, judge: Path | None = None) -> None:
        self.stage = stage
        self.rewriter = Rewriter(model)
        self.classifier = Classifier(classifier)
        self.judge = Classifier(judge) if judge else None
        labels = self.rewriter.task.labels
        for other in filter(None, (self.classifier, self.judge)):
            if other.task.labels != labels:
                raise UserError(
                    f"{other.path} knows the labels {', '.join(other.task.labels)}, not {', '.join(labels)}"
                )
        if stage.by == "attention" and not self.classifier.attends:
            raise UserError(f"{classifier}: its encoder has no attention; choose words by deletion")
        if stage.target is None and len(labels) != 2:
            raise UserError(f"there are {len(labels)} labels: say which one is the target ({', '.join(labels)})")
        if stage.target is not None and stage.target not in labels:
            raise UserError(f"the target '{stage.target}' is none of the labels {', '.join(labels)}")

    def __call__(self, rows: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        labels = self.rewriter.task.labels
        todo: list[dict[str, Any]] = []
        rejected = []
        for row in rows.filter(pc.equal(rows["split"], self.stage.split)).to_pylist():
            sentence = self.rewriter.read(row["text"])
            if row["label"] not in labels:
                rejected.append(Rejected(row["id"], f"the label {row['label']!r} is none of {', '.join(labels)}"))
            elif not sentence.replaceable():
                rejected.append(Rejected(row["id"], f"the text {row['text'][:20]!r} has no word to replace"))
            elif row["label"] != self.stage.target:
                target = self.stage.target or next(label for label in labels if label != row["label"])
                words = Sentence.read(row["text"], self.rewriter.tokenizer, sys.maxsize).replaceable()
                todo.append({**row, "sentence": sentence, "words": len(words), "target": target})
        sentences = [row["sentence"] for row in todo]
        hidden = self._hidden(sentences, [row["label"] for row in todo])
        new = self._fill(sentences, hidden, [row["target"] for row in todo])
        texts = [s.replaced(words) for s, words in zip(sentences, new, strict=True)]
        columns: dict[str, Any] = {name: [row[name] for row in todo] for name in ("id", "label", "target")}
        columns |= {"original": [s.text for s in sentences], "text": texts}
        columns["changes"] = [
            [f"{s.word(n)} > {w}" for n, w in sorted(words.items())] for s, words in zip(sentences, new, strict=True)
        ]
        columns["kept"] = [1 - len(words) / row["words"] for row, words in zip(todo, new, strict=True)]
        for prefix, classifier in (("", self.classifier), ("judge_", self.judge)):
            for name, source in (("before", "original"), ("after", "text")):
                columns[prefix + name] = classifier.labels(columns[source]) if classifier else [None] * len(todo)
        return pa.table(columns, FlipStyle.writes), rejected

    def _hidden(self, sentences: Sequence[Sentence], labels: Sequence[str]) -> list[list[int]]:
        """The words of each sentence that the classifier goes by, in order."""
        read = [self.classifier.read(sentence.text) for sentence in sentences]
        found = (
            self.classifier.attention(read) if self.stage.by == "attention" else self.classifier.deletion(read, labels)
        )
        hidden = []
        for sentence, other, salience in zip(sentences, read, found, strict=True):
            of_span = dict(zip(other.spans, salience.tolist(), strict=True))
            words = sentence.replaceable()
            words.sort(key=lambda n: -of_span.get(sentence.spans[n], 0.0))
            hidden.append(sorted(words[: max(1, round(self.stage.share * len(words)))]))
        return hidden

    def _fill(
        self, sentences: Sequence[Sentence], hidden: Sequence[Sequence[int]], targets: Sequence[str]
    ) -> list[dict[int, str]]:
        """A word for every hidden one, by number; each time the surest of a sentence, which the next ones then see."""
        requests = [Request(s, tuple(h), t) for s, h, t in zip(sentences, hidden, targets, strict=True)]
        new: list[dict[int, str]] = [{} for _ in requests]
        while todo := [i for i, request in enumerate(requests) if request.hidden]:
            for i, found in zip(todo, self.rewriter.fill([requests[i] for i in todo]), strict=True):
                request = requests[i]
                surest = int(np.argmax([word.probability for word in found]))
                number, id_ = request.hidden[surest], found[surest].id
                new[i][number] = self.rewriter.vocabulary.word(id_)
                left = tuple(n for n in request.hidden if n != number)
                requests[i] = Request(request.sentence.with_pieces(number, (id_,)), left, request.label)
        return new
