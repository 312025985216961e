"""The documents of a test collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa

from pipeline import Artifact, Executor, Rejected, Stage
from pipeline.progress import say
from pipeline.store import listing_digest, read_part, write_part
from stages.text import tables
from stages.text.retrieval import collection_files
from stages.text.retrieval.collection_files import Kind
from stages.text.retrieval.schemas import DOCUMENTS
from stages.text.values import table_of


@dataclass(frozen=True, kw_only=True)
class ReadDocuments(Stage):
    """Read the documents of a collection: SMART (Cranfield's cran.all), TREC, JSON lines, TSV, MS MARCO's top1000.

    Out  doc_id str, title str|null, text str; as Arrow files, from which single documents are taken

    A document without title and text, one that was there before, and a line that is none, become error rows. In a
    top1000 file a document stands once for every query that it is a candidate of. Documents that stand again elsewhere
    in the files are left out too, and counted in the manifest.
    """

    version: ClassVar[str] = "4"
    paths: ClassVar[frozenset[str]] = frozenset({"documents"})
    writes: ClassVar[pa.Schema] = DOCUMENTS

    documents: str
    """A file, a folder (all its files, recursively) or a glob. TSV has no header, and per line an id and a text, an id,
    a title and a text, or an id, an address, a title and a text; JSON lines have an id, a text and perhaps a title."""
    format: Literal["auto", "smart", "trec", "jsonl", "tsv", "top1000"] = "auto"
    """How the files are written; auto looks at their first lines."""

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any]:
        files = [(path, self._kind(path)) for path in collection_files.find(self.documents)]
        blocks = (block for path, kind in files for block in collection_files.blocks(path, kind))
        make = partial(DocumentReader, {str(path): kind for path, kind in files})
        executor.map(make, tables.as_parts(blocks), out, schema=DOCUMENTS, suffix=".arrow")
        return {"repeated": leave_out_repeated(out)}

    def fingerprint(self) -> str:
        files = collection_files.find(self.documents)
        self._kind(files[0])
        return listing_digest(files)

    def _kind(self, path: Path) -> Kind:
        return collection_files.kind_of(path) if self.format == "auto" else self.format


def leave_out_repeated(folder: Path) -> int:
    """Take documents out of the parts of a folder that stand before, in one part or another; returns how many."""
    seen: set[str] = set()
    repeated = 0
    for path in Artifact(folder, "").parts:
        ids = read_part(path, ["doc_id"])["doc_id"].to_pylist()
        new = []
        for doc_id in ids:
            new.append(doc_id not in seen)
            seen.add(doc_id)
        if not all(new):
            write_part(path, read_part(path).filter(pa.array(new)))
            repeated += new.count(False)
    if repeated:
        say(f"{repeated} documents stand more than once in the collection: the first of each is taken")
    return repeated


class DocumentReader:
    """Blocks of files in, documents out."""

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self.kinds = kinds

    def __call__(self, part: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        documents: list[dict[str, Any]] = []
        places = []
        rejected = []
        seen: set[str] = set()
        for block in tables.blocks_of(part):
            kind = self.kinds[block.path]
            for record in collection_files.records(block, kind, "documents"):
                if isinstance(record, Rejected):
                    rejected.append(record)
                elif not record.title and not record.text:
                    rejected.append(Rejected(record.at, f"document {record.id} has neither title nor text"))
                elif record.id not in seen:
                    seen.add(record.id)
                    documents.append({"doc_id": record.id, "title": record.title or None, "text": record.text})
                    places.append(record.at)
                elif kind != "top1000":
                    rejected.append(Rejected(record.at, f"document {record.id} a second time"))
        table, unfit = table_of(documents, places, DOCUMENTS)
        return table, rejected + unfit
