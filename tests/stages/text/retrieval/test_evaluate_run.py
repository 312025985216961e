from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.text.retrieval.evaluate_run import EvaluateRun
from stages.text.retrieval.schemas import QRELS, RUN
from tests.case import artifact as written

QRELS_ROWS = [("1", "b", 1), ("2", "c", 1), ("3", "c", 2)]


def evaluate(folder: Path, rows: list[tuple], measures: tuple[str, ...] = ("MRR@10",)) -> Artifact:
    inputs = {
        "run": written(folder / "run", pa.table(list(zip(*rows, strict=True)), schema=RUN)),
        "qrels": written(folder / "qrels", pa.table(list(zip(*QRELS_ROWS, strict=True)), schema=QRELS)),
    }
    out = Artifact(folder / "figures", "figures")
    make(EvaluateRun(measures=measures), inputs, out, LocalExecutor())
    return out


def test_queries_that_the_run_lacks_count_zero(tmp_path: Path) -> None:
    out = evaluate(tmp_path, [("1", "a", 1, 2.0), ("1", "b", 2, 1.0), ("2", "c", 1, 1.0)], ("MRR@10", "AP@1000"))
    assert out.manifest["metrics"] == pytest.approx({"MRR@10": (0.5 + 1 + 0) / 3, "AP@1000": (0.5 + 1 + 0) / 3})
    assert (out.manifest["queries"], out.manifest["queries_not_in_run"]) == (3, 1)
    values = {(r["query_id"], r["measure"]): r["value"] for r in out.read().to_pylist()}
    assert values["3", "MRR@10"] == 0.0
    assert values["1", "AP@1000"] == 0.5


def test_scores_decide_and_not_ranks(tmp_path: Path) -> None:
    """And of equal scores the greater id comes first."""
    out = evaluate(tmp_path, [("1", "b", 1, 1.0), ("1", "a", 2, 2.0), ("2", "b", 1, 1.0), ("2", "c", 2, 1.0)])
    assert out.manifest["metrics"]["MRR@10"] == pytest.approx((0.5 + 1 + 0) / 3)


def test_candidates_without_scores(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="candidates without scores are no ranking"):
        evaluate(tmp_path, [("1", "b", None, None)])


def test_unknown_measures_are_refused() -> None:
    with pytest.raises(UserError, match="no measure 'ndgc@10'"):
        EvaluateRun(measures=("ndgc@10",))
