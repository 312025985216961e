"""A ranking made elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from pipeline import Artifact, Executor, Stage, UserError
from pipeline.store import listing_digest
from stages.text import tables
from stages.text.retrieval.collection_files import TOP1000, find
from stages.text.retrieval.schemas import RUN

TREC = tables.Form(quotes=False, columns=("query_id", "q0", "doc_id", "rank", "score", "name"), separator=" ")
MSMARCO = tables.Form(quotes=False, columns=("query_id", "doc_id", "rank"), separator=" ")


@dataclass(frozen=True, kw_only=True)
class ReadRun(Stage):
    """Read candidates of a first stage: a TREC run file, MS MARCO's (query, document, rank) or its top1000 file.

    Out  query_id str, doc_id str, rank int32, score float64; a top1000 file's candidates have neither rank nor score,
         and MS MARCO's rankings have 1/rank for a score

    A line with other columns, a rank or score that is no number becomes an error row.
    """

    version: ClassVar[str] = "3"
    paths: ClassVar[frozenset[str]] = frozenset({"run_file"})
    writes: ClassVar[pa.Schema] = RUN

    run_file: str
    """A file or a glob."""

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        files = [(path, form_of(path)) for path in find(self.run_file)]
        blocks = (block for path, form in files for block in tables.cut(path, "", form))
        make = partial(tables.RowReader, {str(path): form for path, form in files}, candidates, RUN)
        executor.map(make, tables.as_parts(blocks), out, schema=RUN)

    def fingerprint(self) -> str:
        files = find(self.run_file)
        form_of(files[0])
        return listing_digest(files)


def form_of(path: Path) -> tables.Form:
    """How a run file is written, by its first lines. UserError where it is none."""
    form = tables.commonest(map(_form_of_line, tables.first_lines(path)))
    if form:
        return form
    raise UserError(
        f"{path}: its first lines are none of a run: give query, Q0, document, rank, score and name, MS MARCO's query, "
        "document and rank, or its top1000 file"
    )


def _form_of_line(line: str) -> tables.Form | None:
    if line.count("\t") == 3:
        return TOP1000
    return next((form for form in (TREC, MSMARCO) if len(line.split()) == len(form.columns or ())), None)


def candidates(line: tables.Line, split: str) -> list[dict[str, Any]]:
    """The row of a run's line. ValueError where rank or score is no number."""
    cells = line.cells
    rank = score = None
    try:
        if "rank" in cells:
            rank = int(cells["rank"])
            score = float(cells["score"]) if "score" in cells else 1.0 / max(rank, 1)
        finite = score is None or math.isfinite(score)
    except ValueError:
        finite = False
    if not finite:
        raise ValueError(f"rank and score must be numbers: {' '.join(cells.values())}")
    return [{"query_id": cells["query_id"], "doc_id": cells["doc_id"], "rank": rank, "score": score}]
