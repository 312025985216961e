"""The tables that the retrieval stages hand to one another."""

from __future__ import annotations

import pyarrow as pa

from pipeline import Artifact

DOCUMENTS = pa.schema([("doc_id", pa.string()), ("title", pa.string()), ("text", pa.string())])
"""``title`` is null or not repeated in ``text``."""

QUERIES = pa.schema([("query_id", pa.string()), ("text", pa.string()), ("fold", pa.int32())])
"""``fold`` is null where the file does not name it."""

FOLDS = pa.schema([("query_id", pa.string()), ("fold", pa.int32())])

QRELS = pa.schema([("query_id", pa.string()), ("doc_id", pa.string()), ("grade", pa.int32())])
"""Judgements: a document is relevant from grade 1 on, and the more so the higher."""

RUN = pa.schema([("query_id", pa.string()), ("doc_id", pa.string()), ("rank", pa.int32()), ("score", pa.float64())])
"""A ranking: ``rank`` from 1, and ``score``, both null for candidates that nobody has ranked."""

SCORES = pa.schema(
    [("query_id", pa.string()), ("doc_id", pa.string()), ("passage", pa.int32()), ("score", pa.float32())]
)
"""What a model says of the passages of a query's candidates."""

PAIRS = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "query_id", "query", "text")),
        ("label", pa.int32()),
        ("split", pa.string()),
    ]
)
"""Training rows of JudgeRelevance: ``query_id`` null where queries are not ranked, ``label`` 1 for a relevant text."""


def texts_of(queries: Artifact) -> dict[str, str]:
    """The text of every query, by its id."""
    return dict(zip(*queries.read(["query_id", "text"]).to_pydict().values(), strict=True))


def folds_of(folds: Artifact) -> dict[str, int]:
    """The fold of every query, by its id."""
    return dict(zip(*folds.read(FOLDS.names).to_pydict().values(), strict=True))


def contents(documents: pa.Table) -> list[str]:
    """Title and text of every document, as one text."""
    titles, texts = documents["title"].to_pylist(), documents["text"].to_pylist()
    return [f"{title} {text}".strip() if title else text for title, text in zip(titles, texts, strict=True)]
