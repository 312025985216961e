from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.text.retrieval.deal_folds import DealFolds
from stages.text.retrieval.schemas import QUERIES
from tests.case import artifact as written


def deal(folder: Path, named: list[int | None], **fields: int) -> list[int]:
    """The folds of as many queries as there are names of folds."""
    ids = [f"q{i}" for i in range(len(named))]
    queries = written(folder / "queries", pa.table([ids, ids, named], schema=QUERIES))
    out = Artifact(folder / f"out{fields}", "folds")
    make(DealFolds(**fields), {"queries": queries}, out, LocalExecutor())
    dealt = out.read().to_pydict()
    assert dealt["query_id"] == ids
    folds: list[int] = dealt["fold"]
    return folds


def test_folds_are_of_like_size_and_seeded(tmp_path: Path) -> None:
    folds = deal(tmp_path, [None] * 23)
    assert sorted(Counter(folds).values()) == [4, 4, 5, 5, 5]
    assert folds == deal(tmp_path / "again", [None] * 23)
    assert folds != deal(tmp_path, [None] * 23, seed=1)


def test_a_fold_that_the_file_names_stays(tmp_path: Path) -> None:
    assert deal(tmp_path, [3, None, 1], folds=4)[::2] == [3, 1]


def test_a_fold_that_nobody_would_rank_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"name the fold 3: give folds 4 or more \(it is 3\)"):
        deal(tmp_path, [3, None], folds=3)


def test_folds_must_be_positive() -> None:
    with pytest.raises(UserError, match="folds must be at least 1"):
        DealFolds(folds=0)
