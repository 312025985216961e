"""TREC run files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from pipeline.store import write_atomically


def write_run_file(path: Path, run: pa.Table, name: str) -> None:
    """Query, Q0, document, rank, score and ``name``, a line a document. Scores with the digits that float32 has, which
    is what trec_eval reads."""
    columns = (run[column].to_pylist() for column in ("query_id", "doc_id", "rank", "score"))
    with write_atomically(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for query_id, doc_id, rank, score in zip(*columns, strict=True):
            file.write(f"{query_id} Q0 {doc_id} {rank} {score:.9g} {name}\n")
