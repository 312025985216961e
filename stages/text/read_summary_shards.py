"""Documents and summaries in nlpyang/BertSum's JSON shards."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from pipeline import Artifact, Executor, Rejected, Stage, UserError
from pipeline.store import listing_digest
from stages.text.source_files import find_files
from stages.text.tables import BOM
from stages.text.values import refuse_halves, table_of

SPLIT_OF = {"train": "train", "valid": "dev", "val": "dev", "dev": "dev", "test": "test"}
"""What stands between the dots of a shard's name."""
NO_JSON = "not JSON in UTF-8; download it again"
SUMMARY_ROWS = pa.schema(
    [
        ("id", pa.string()),
        ("sentences", pa.list_(pa.string())),
        ("summary", pa.list_(pa.string())),
        ("split", pa.string()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class ReadSummaryShards(Stage):
    """Read shards as nlpyang/BertSum writes them: documents and summaries cut into sentences and those into tokens.

    A shard is a JSON array, or a line each, of ``{"src": [["a", "sentence"], …], "tgt": [[…], …]}``; its name says the
    split: ``cnndm.train.0.json``, ``cnndm.valid.3.json``, ``cnndm.test.1.json``. A worker holds one shard at a time.

    Out  id str (file:document, from 0), sentences list<str>, summary list<str>, split str
    """

    version: ClassVar[str] = "3"
    paths: ClassVar[frozenset[str]] = frozenset({"shards"})
    writes: ClassVar[pa.Schema] = SUMMARY_ROWS

    shards: str
    """Folder of .json and .jsonl shards, one shard, or a glob."""

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        parts = [[pa.table({"path": [str(path)], "split": [split]})] for path, split in self._files().items()]
        executor.map(ShardReader, parts, out, schema=self.writes, by="path")

    def fingerprint(self) -> str:
        return listing_digest(self._files())

    def splits(self) -> set[str]:
        """Those that there are shards of."""
        return set(self._files().values())

    def _files(self) -> dict[Path, str]:
        return {path: split_of(path) for path in find_files(self.shards, (".json", ".jsonl"), recursive=False)}


def split_of(path: Path) -> str:
    """The split a shard's name says. UserError where it says none."""
    for word in path.name.split("."):
        if word in SPLIT_OF:
            return SPLIT_OF[word]
    raise UserError(f"{path}: a shard's name says train, valid or test between dots, such as cnndm.train.0.json")


class ShardReader:
    """A shard in, its documents out."""

    def __call__(self, shard: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        path, split = Path(shard["path"][0].as_py()), shard["split"][0].as_py()
        rows: list[dict[str, Any]] = []
        rejected = []
        for number, document in enumerate(documents(path)):
            name = f"{path.name}:{number}"
            try:
                rows.append({"id": name, "split": split, **sentences_of(document)})
            except ValueError as error:
                rejected.append(Rejected(name, str(error)))
        table, unfit = table_of(rows, [row["id"] for row in rows], SUMMARY_ROWS)
        return table, rejected + unfit


def documents(path: Path) -> Iterator[Any]:
    """The values of an array, or the lines, as bytes, that are not blank. ValueError names a file that is no array."""
    text = path.read_bytes().removeprefix(BOM)
    if not re.match(rb"\s*\[", text):
        yield from (line for line in text.split(b"\n") if line.strip())
        return
    try:
        yield from json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}: {NO_JSON} ({error})") from None


def sentences_of(document: Any) -> dict[str, list[str]]:
    """``sentences`` and ``summary`` of a shard's value, or line. ValueError says what is wrong with it."""
    if isinstance(document, bytes):
        try:
            document = json.loads(document)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{NO_JSON} ({error})") from None
    refuse_halves(document)
    columns = {}
    for key, column in (("src", "sentences"), ("tgt", "summary")):
        value = document.get(key) if isinstance(document, dict) else None
        for sentence in value if isinstance(value, list) else [None]:
            if not isinstance(sentence, list) or not all(isinstance(token, str) for token in sentence):
                raise ValueError(f'"{key}" is no list of sentences, each a list of tokens')
        columns[column] = [" ".join(sentence) for sentence in value or () if sentence]
    if not columns["sentences"]:
        raise ValueError("a document without sentences")
    return columns
