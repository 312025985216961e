"""The queries of a test collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa

from pipeline import Artifact, Executor, Rejected, Stage
from pipeline.store import listing_digest
from stages.text.retrieval import collection_files
from stages.text.retrieval.collection_files import Record
from stages.text.retrieval.schemas import QUERIES
from stages.text.values import table_of


@dataclass(frozen=True, kw_only=True)
class ReadQueries(Stage):
    """Read queries: SMART (Cranfield's cran.qry), TREC topics (their titles), JSON lines, TSV, MS MARCO's top1000.

    Out  query_id str, text str, fold int32 (null where the file does not name it)

    A query without text, or whose id another one has, becomes an error row.
    """

    version: ClassVar[str] = "4"
    paths: ClassVar[frozenset[str]] = frozenset({"queries"})
    writes: ClassVar[pa.Schema] = QUERIES

    queries: str
    """A file, a folder or a glob. TSV has no header; JSON lines have an id, a text and perhaps a fold (from 0)."""
    format: Literal["auto", "smart", "trec", "jsonl", "tsv", "top1000"] = "auto"
    """How the files are written; auto looks at their first lines."""
    numbering: Literal["id", "position"] = "id"
    """What judgements call a query by: its id, or, as Cranfield's do, its place among the queries, from 1.
    Queries that become error rows have a place too."""

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        paths = pa.table({"path": [str(path) for path in collection_files.find(self.queries)]})
        executor.map(partial(QueryReader, self), [[paths]], out, schema=QUERIES, whole=True)

    def fingerprint(self) -> str:
        files = collection_files.find(self.queries)
        if self.format == "auto":
            collection_files.kind_of(files[0])
        return listing_digest(files)


class QueryReader:
    """Paths in, queries out. All files are one item: an id may be in two of them."""

    def __init__(self, stage: ReadQueries) -> None:
        self.stage = stage

    def __call__(self, files: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        queries: dict[str, Record] = {}
        rejected = []
        position = 0
        for path in map(Path, files["path"].to_pylist()):
            kind = collection_files.kind_of(path) if self.stage.format == "auto" else self.stage.format
            for block in collection_files.blocks(path, kind):
                for record in collection_files.records(block, kind, "queries"):
                    if isinstance(record, Rejected):
                        rejected.append(record)
                        position += record.reason != collection_files.BEFORE
                        continue
                    position += 1
                    query_id = record.id if self.stage.numbering == "id" else str(position)
                    if not record.text:
                        rejected.append(Rejected(record.at, f"query {query_id} has no text"))
                    elif query_id not in queries:
                        queries[query_id] = record
                    elif kind != "top1000":
                        rejected.append(Rejected(record.at, f"query {query_id} a second time"))
        rows = [{"query_id": query_id, "text": r.text, "fold": r.fold} for query_id, r in queries.items()]
        table, unfit = table_of(rows, [r.at for r in queries.values()], QUERIES)
        return table, rejected + unfit
