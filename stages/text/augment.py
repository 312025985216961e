"""New training sentences from old ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.word_masks import Sentence
from pipeline import Artifact, Executor, Rejected, Resources, Stage, UserError
from stages.text.labelled import LABELLED
from stages.text.rewriter import Request, Rewriter


@dataclass(frozen=True, kw_only=True)
class Augment(Stage):
    """Write new sentences: words of the training sentences are hidden, and drawn anew under the sentence's label.

    In   rows: id, text, label, split; model: a ConditionalLM that Train made
    Out  id str (the old one's, ``+1``, ``+2`` …), text str (the new sentence), second null, label str, split "train",
         original str, changes list<str> ("good > fine")

    What is drawn for a row depends on seed, id and number of the copy alone, not on the rows beside it, nor on how many
    workers there are. Only words are replaced, by whole words; punctuation stays (Wu et al. 2018, arXiv 1812.06705).
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"rows": ("id", "text", "label", "split"), "model": ()}
    writes: ClassVar[pa.Schema] = pa.schema([*LABELLED, ("original", pa.string()), ("changes", pa.list_(pa.string()))])

    copies: int = 1
    """New sentences for each old one."""
    every: int = 7
    """One of so many words is hidden, one at least."""
    temperature: float = 1.0
    """Logits are divided by it before the softmax: below 1 likelier words, above 1 more various ones."""
    seed: int = 0
    """Seeds which words are hidden and what is drawn."""
    faithful: bool = False
    """As 1024er/cbert_aug does: places are drawn with replacement, [CLS], [SEP] and punctuation among them, so that
    fewer words change."""

    def __post_init__(self) -> None:
        if min(self.copies, self.every) < 1 or self.temperature <= 0:
            raise UserError("copies and every must be at least 1, temperature above 0")

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any]:
        make = partial(Augmenter, self, inputs["model"].path)
        parts = [[p] for p in inputs["rows"].parts]
        executor.map(make, parts, out, schema=self.writes, resources=Resources(gpus=1))
        made = Artifact(out, "").read(["text", "original"]) if parts else self.writes.empty_table()
        return {"unchanged": pc.sum(pc.equal(made["text"], made["original"])).as_py() or 0}


class Augmenter:
    """Rows in, new rows out."""

    def __init__(self, stage: Augment, model: Path) -> None:
        self.stage = stage
        self.rewriter = Rewriter(model, stage.temperature)

    def __call__(self, rows: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        requests: list[Request] = []
        owners: list[tuple[str, int]] = []
        rejected = []
        for row in rows.filter(pc.equal(rows["split"], "train")).to_pylist():
            try:
                made = [self._request(row, copy) for copy in range(1, self.stage.copies + 1)]
            except ValueError as error:
                rejected.append(Rejected(row["id"], str(error)))
            else:
                requests += made
                owners += [(row["id"], copy) for copy in range(1, self.stage.copies + 1)]
        written = []
        for (id_, copy), request, found in zip(owners, requests, self.rewriter.fill(requests), strict=True):
            sentence = request.sentence
            new = {n: self.rewriter.vocabulary.word(word.id) for n, word in zip(request.hidden, found, strict=True)}
            changes = [f"{sentence.word(n)} > {w}" for n, w in new.items() if sentence.word(n).lower() != w]
            row = {"id": f"{id_}+{copy}", "text": sentence.replaced(new), "label": request.label, "split": "train"}
            written.append({**row, "second": None, "original": sentence.text, "changes": changes})
        return pa.Table.from_pylist(written, Augment.writes), rejected

    def _request(self, row: Mapping[str, Any], copy: int) -> Request:
        """What is hidden of a row. ValueError where nothing can be, or the label is unknown."""
        if row["label"] not in self.rewriter.task.labels:
            raise ValueError(f"the label {row['label']!r} is none of {', '.join(self.rewriter.task.labels)}")
        sentence = self.rewriter.read(row["text"])
        rng = np.random.default_rng([self.stage.seed, copy, *hashlib.sha256(row["id"].encode()).digest()])
        hidden = self._hidden(sentence, rng)
        return Request(sentence, tuple(hidden), row["label"], tuple(rng.random(len(hidden))))

    def _hidden(self, sentence: Sentence, rng: np.random.Generator) -> list[int]:
        words = sentence.replaceable()
        if not words:
            raise ValueError(f"the text {sentence.text[:20]!r} has no word to replace")
        if self.stage.faithful:
            places = len(sentence.pieces) + 2
            drawn = set(rng.integers(places, size=max(1, places // self.stage.every))) - {0, places - 1}
            return sorted({int(place) - 1 for place in drawn} & set(words))
        return sorted(rng.permutation(words)[: max(1, len(words) // self.stage.every)].tolist())
