"""Documents to sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from pipeline import Artifact, Executor, Rejected, Stage, UserError

SENTENCES = pa.schema([("doc_id", pa.string()), ("passage", pa.int32()), ("text", pa.string())])


@dataclass(frozen=True, kw_only=True)
class SplitSentences(Stage):
    """Split documents into sentences, by Wikimedia's sentencex. The title is a sentence.

    In   documents: doc_id str, title str|null, text str
    Out  doc_id str, passage int32 (from 0), text str; as Arrow files, from which single documents are taken

    A longer sentence than ``max_words`` goes on as another one. Where even that has more wordpieces than BERT has
    places, its end is not read. A document without a sentence that holds a letter or digit becomes an error row.
    Source: Yang, Zhang and Lin 2019, section 3.
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"documents": ("doc_id", "title", "text")}
    writes: ClassVar[pa.Schema] = SENTENCES

    language: str = "en"
    """Language of the documents, by its ISO code."""
    max_words: int = 300
    """Words of a sentence, so that its wordpieces mostly fit into BERT's 512 places."""

    def __post_init__(self) -> None:
        if self.max_words < 1:
            raise UserError("max_words must be at least 1")

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        parts = [[part] for part in inputs["documents"].parts]
        executor.map(partial(SentenceSplitter, self), parts, out, schema=SENTENCES, suffix=".arrow")


class SentenceSplitter:
    """Documents in, sentences out."""

    def __init__(self, stage: SplitSentences) -> None:
        self.stage = stage

    def __call__(self, documents: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        rows = []
        rejected = []
        for document in documents.to_pylist():
            sentences = list(self._sentences(document["title"] or "", document["text"]))
            rows += [{"doc_id": document["doc_id"], "passage": i, "text": s} for i, s in enumerate(sentences)]
            if not sentences:
                rejected.append(Rejected(document["doc_id"], "has no sentence: neither letters nor digits"))
        return pa.Table.from_pylist(rows, SENTENCES), rejected

    def _sentences(self, title: str, text: str) -> Iterator[str]:
        import sentencex

        for sentence in (title, *sentencex.segment(self.stage.language, text)):
            words = sentence.split()
            if any(c.isalnum() for c in sentence):
                for start in range(0, len(words), self.stage.max_words):
                    yield " ".join(words[start : start + self.stage.max_words])
