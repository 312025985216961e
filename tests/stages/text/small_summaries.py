"""Documents with summaries, in both forms, some of them bad."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa

from pipeline import Stage
from stages.text.fold_rows import FoldRows
from stages.text.read_summary_pairs import ReadSummaryPairs
from stages.text.read_summary_shards import ReadSummaryShards
from tests.case import Case, Inputs, artifact


def shards(folder: Path) -> tuple[Stage, Inputs]:
    folder.mkdir()
    good = {"src": [["the", "soup", "is", "hot"], ["stir", "it"]], "tgt": [["stir", "it"]]}
    (folder / "a.train.0.json").write_text(json.dumps([good, {"src": [], "tgt": []}, good]))
    (folder / "a.test.0.jsonl").write_text(json.dumps(good) + "\n")
    return ReadSummaryShards(shards=str(folder)), {}


def pairs(folder: Path) -> tuple[Stage, Inputs]:
    for name in ("article", "summary"):
        (folder / name).mkdir(parents=True)
        for i in range(3):
            (folder / name / f"{i}.txt").write_text(f"Soup {i}\n\nStir the soup. It is hot.\n")
    (folder / "summary" / "1.txt").unlink()
    return (
        ReadSummaryPairs(articles=str(folder / "article"), summaries=str(folder / "summary"), lines="paragraphs"),
        {},
    )


def folds(folder: Path) -> tuple[Stage, Inputs]:
    rows = pa.table({"id": [f"r{i}" for i in range(11)], "split": ["train"] * 11})
    return FoldRows(folds=4, test=1), {"rows": artifact(folder / "rows", rows)}


SUMMARIES = [
    Case("read summary shards", shards),
    Case("read summary pairs", pairs, leave_out=("errors",)),
    Case("fold rows", folds),
]
