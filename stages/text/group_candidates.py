"""Rows of one question and one candidate, put together as questions with their candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from pipeline import Artifact, Executor, Stage


@dataclass(frozen=True, kw_only=True)
class GroupCandidates(Stage):
    """Put together the rows of a split with the same question, wherever they stand (QNLI as a ranking task).

    In   rows: id str, text str (the question), second str (a candidate), label str|null, split str
    Out  id str (of the question's first row), text str, candidates list<str>, relevant list<bool>|null (null where a
         label is not known), split str; one part, in the order of the questions' first rows

    Holds all rows in memory.
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"rows": ("id", "text", "second", "label", "split")}
    writes: ClassVar[pa.Schema] = pa.schema(
        [
            ("id", pa.string()),
            ("text", pa.string()),
            ("candidates", pa.list_(pa.string())),
            ("relevant", pa.list_(pa.bool_())),
            ("split", pa.string()),
        ]
    )

    relevant: str = "entailment"
    """The label of candidates that are relevant."""

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        executor.map(partial(Grouper, self.relevant), [inputs["rows"].parts], out, schema=self.writes, whole=True)


class Grouper:
    """All rows in, the questions out."""

    def __init__(self, relevant: str) -> None:
        self.relevant = relevant

    def __call__(self, *rows: pa.Table) -> pa.Table:
        questions: dict[tuple[str, str], dict[str, Any]] = {}
        for row in pa.concat_tables(rows).to_pylist():
            start = {"id": row["id"], "text": row["text"], "candidates": [], "relevant": [], "split": row["split"]}
            question = questions.setdefault((row["split"], row["text"]), start)
            question["candidates"].append(row["second"])
            question["relevant"].append(None if row["label"] is None else row["label"] == self.relevant)
        for question in questions.values():
            if None in question["relevant"]:
                question["relevant"] = None
        return pa.Table.from_pylist(list(questions.values()), GroupCandidates.writes)
