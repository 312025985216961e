"""Questions about paragraphs to pairs of short texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from pipeline import Artifact, Executor, Rejected, Stage
from stages.text.retrieval.schemas import PAIRS


@dataclass(frozen=True, kw_only=True)
class PairQuestions(Stage):
    """Pair a question with every sentence of its paragraph: relevant is one in which an answer begins.

    In   questions: what ReadSquad writes
    Out  id str (question and sentence), query_id str, query str, text str, label int32, split str

    A question without answers has no relevant sentence. One whose answers are not known becomes an error row. Source:
    Yang, Zhang and Lin 2019, section 4, who fine-tune on question answering and apply the model to newswire.
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"questions": ("id", "question", "context", "answers", "split")}
    writes: ClassVar[pa.Schema] = PAIRS

    language: str = "en"
    """Language of the paragraphs, by its ISO code."""

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        parts = [[part] for part in inputs["questions"].parts]
        executor.map(partial(QuestionPairer, self.language), parts, out, schema=PAIRS)


class QuestionPairer:
    """Questions in, pairs out."""

    def __init__(self, language: str) -> None:
        self.language = language

    def __call__(self, questions: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        pairs: list[dict[str, Any]] = []
        rejected = []
        for row in questions.to_pylist():
            if row["answers"] is None:
                rejected.append(Rejected(row["id"], "its answers are not known"))
            else:
                pairs += self._pairs(row)
        return pa.Table.from_pylist(pairs, PAIRS), rejected

    def _pairs(self, row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        import sentencex

        starts = [answer["start"] for answer in row["answers"]]
        at = 0
        for number, sentence in enumerate(sentencex.segment(self.language, row["context"])):
            begin, at = at, at + len(sentence)
            if any(c.isalnum() for c in sentence):
                yield {
                    "id": f"{row['id']} {number}",
                    "query_id": row["id"],
                    "query": row["question"],
                    "text": " ".join(sentence.split()),
                    "label": int(any(begin <= start < at for start in starts)),
                    "split": row["split"],
                }
