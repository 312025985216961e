from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.text.fold_rows import FoldRows
from tests.case import artifact


def fold(stage: FoldRows, rows: Artifact, out: Path) -> list[dict[str, str]]:
    made = Artifact(out, "folded")
    make(stage, {"rows": rows}, made, LocalExecutor())
    return made.read().to_pylist()


@pytest.fixture
def rows(tmp_path: Path) -> Artifact:
    table = pa.table(
        {"id": [f"r{i}" for i in range(23)], "split": ["train"] * 23, "group": [i // 4 for i in range(23)]}
    )
    return artifact(tmp_path / "rows", table)


def test_every_row_is_tested_once(rows: Artifact, tmp_path: Path) -> None:
    tested: Counter[str] = Counter()
    watched: Counter[str] = Counter()
    for k in range(5):
        folded = fold(FoldRows(folds=5, test=k), rows, tmp_path / str(k))
        assert [r["id"] for r in folded] == [f"r{i}" for i in range(23)]
        assert sorted(Counter(r["split"] for r in folded).values()) in ([4, 4, 15], [4, 5, 14], [5, 5, 13])
        tested.update(r["id"] for r in folded if r["split"] == "test")
        watched.update(r["id"] for r in folded if r["split"] == "dev")
    assert set(tested.values()) == set(watched.values()) == {1}
    assert len(tested) == len(watched) == 23


def test_rows_that_share_a_value_stay_together(rows: Artifact, tmp_path: Path) -> None:
    folded = fold(FoldRows(folds=3, test=1, by="group"), rows, tmp_path / "out")
    assert len({(r["group"], r["split"]) for r in folded}) == 6


def test_without_a_dev_split_the_rest_is_trained_on(rows: Artifact, tmp_path: Path) -> None:
    folded = fold(FoldRows(folds=2, dev=False), rows, tmp_path / "out")
    assert Counter(r["split"] for r in folded) == {"test": 12, "train": 11}


def test_what_cannot_be_folded_is_said(rows: Artifact, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 3"):
        FoldRows(folds=2)
    with pytest.raises(UserError, match="test from 0"):
        FoldRows(folds=5, test=5)
    with pytest.raises(UserError, match="no column 'query'"):
        fold(FoldRows(by="query"), rows, tmp_path / "a")
    with pytest.raises(UserError, match="6 values of 'group', too few for 7"):
        fold(FoldRows(folds=7, by="group"), rows, tmp_path / "b")
