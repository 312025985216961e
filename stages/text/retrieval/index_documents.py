"""Documents to an inverted index."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from pipeline import Artifact, Executor, Stage, UserError
from pipeline.progress import counting
from pipeline.store import read_part, write_atomically, write_part
from stages.text.retrieval.schemas import contents

Stemmer = Literal["porter", "english", "none"]
ANALYSIS = "analysis.json"
FORWARD = pa.schema([("doc_id", pa.string()), ("words", pa.list_(pa.int32()))])


@dataclass(frozen=True, kw_only=True)
class IndexDocuments(Stage):
    """Index documents for BM25, by bm25s in Lucene's variant, which adds the scores up before any query is seen.

    In   documents: doc_id str, title str|null, text str; both are indexed, as one field
    Out  what ``bm25s.BM25.load`` loads; analysis.json; doc_id str, words list<int32>: a document's words in order, in
         the order of the index's documents, as Arrow files

    Source: Robertson et al. 1995; Kamphuis et al. 2020 on the variants.
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"documents": ("doc_id", "title", "text")}
    writes: ClassVar[pa.Schema] = FORWARD

    k1: float = 0.9
    """How much more often a word must stand in a document to count twice."""
    b: float = 0.4
    """How much long documents are marked down: 0 not at all, 1 in full."""
    stemmer: Stemmer = "porter"
    """Snowball stemmer that words go through: Porter's, as Lucene's English analysis has it, or its successor."""
    stop_words: bool = True
    """Leave out Lucene's 33 English stop words."""

    def __post_init__(self) -> None:
        if self.k1 < 0 or not 0 <= self.b <= 1:
            raise UserError("k1 must not be negative, and b lies between 0 and 1")

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any]:
        import bm25s

        tokenizer = analysis(self.stemmer, self.stop_words)
        words: list[list[int]] = []
        documents = inputs["documents"]
        with counting("words", documents.rows(), "documents") as counter:
            for number, part in enumerate(documents.parts):
                rows = read_part(part)
                found = tokenizer.tokenize(contents(rows), update_vocab=True, show_progress=False, allow_empty=False)
                words += found
                table = pa.table([rows["doc_id"], pa.array(found, FORWARD.field("words").type)], schema=FORWARD)
                write_part(out / f"part-{number:05d}.arrow", table)
                counter.advance(rows.num_rows)
        if not any(words):
            raise UserError(f"{documents.path}: no document has a word to index")
        index = bm25s.BM25(method="lucene", k1=self.k1, b=self.b)
        index.index((words, dict(tokenizer.get_vocab_dict())), show_progress=False)
        index.save(out, show_progress=False)
        with write_atomically(out / ANALYSIS) as temporary:
            temporary.write_text(json.dumps({"stemmer": self.stemmer, "stop_words": self.stop_words}) + "\n")
        lengths = np.fromiter(map(len, words), np.int64)
        return {"documents": len(words), "words": len(index.vocab_dict), "mean_length": round(float(lengths.mean()), 2)}


def analysis(stemmer: Stemmer, stop_words: bool) -> Any:
    """What cuts a text into words: a ``bm25s.tokenization.Tokenizer`` without words yet."""
    import Stemmer as snowball  # noqa: N813 - a module of that name
    from bm25s.tokenization import Tokenizer

    return Tokenizer(
        splitter=r"(?u)\b\w+\b",
        stopwords="en" if stop_words else [],
        stemmer=None if stemmer == "none" else snowball.Stemmer(stemmer),
    )
