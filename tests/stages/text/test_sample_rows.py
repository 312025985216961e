from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.text.sample_rows import SampleRows
from tests.case import artifact


def sample(stage: SampleRows, rows: Artifact, out: Path) -> list[dict[str, str]]:
    made = Artifact(out, "sample")
    make(stage, {"rows": rows}, made, LocalExecutor())
    return made.read().to_pylist()


@pytest.fixture
def rows(tmp_path: Path) -> Artifact:
    labels = ["common"] * 60 + ["rare"] * 4 + ["common"] * 10
    splits = ["train"] * 64 + ["test"] * 10
    ids = [f"r{i}" for i in range(74)]
    return artifact(tmp_path / "rows", pa.table({"id": ids, "label": labels, "split": splits}))


def test_every_label_keeps_its_share_and_other_splits_all(rows: Artifact, tmp_path: Path) -> None:
    kept = sample(SampleRows(share=0.1), rows, tmp_path / "out")
    counts = Counter((r["label"], r["split"]) for r in kept)
    assert counts == {("common", "train"): 6, ("rare", "train"): 1, ("common", "test"): 10}
    assert [int(r["id"][1:]) for r in kept] == sorted(int(r["id"][1:]) for r in kept)


def test_the_seed_says_which(rows: Artifact, tmp_path: Path) -> None:
    first, again, other = (sample(SampleRows(seed=s), rows, tmp_path / str(i)) for i, s in enumerate((0, 0, 1)))
    assert first == again != other
    assert len(first) == len(other)


def test_the_whole_is_a_share_too(rows: Artifact, tmp_path: Path) -> None:
    assert len(sample(SampleRows(share=1.0), rows, tmp_path / "out")) == 74
    with pytest.raises(UserError, match="above 0"):
        SampleRows(share=0)
