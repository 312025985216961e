from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.text.retrieval.sample_pairs import SamplePairs
from stages.text.retrieval.schemas import DOCUMENTS, FOLDS, QRELS, QUERIES, RUN
from tests.case import artifact as written
from tests.pipeline.careful import CarefulExecutor

DOCS = [f"d{i}" for i in range(10)]


def sample(folder: Path, executor: LocalExecutor | None = None, **fields: int) -> Artifact:
    """Queries 0, 1 and 2 in folds 0, 1 and 2; each has d0 to d9 as candidates and d1 and d2 as relevant documents; to
    query 0 a document is relevant that the collection lacks. The run breaks off within query 1."""
    runs = [(q, d, rank, 1.0 / rank) for q in "012" for rank, d in enumerate(DOCS, 1)]
    qrels = [(q, d, grade) for q in "012" for d, grade in (("d1", 2), ("d2", 1), ("d3", 0))] + [("0", "lost", 1)]
    inputs = {
        "run": written(folder / "run", pa.table(list(zip(*runs, strict=True)), schema=RUN), parts=2),
        "qrels": written(folder / "qrels", pa.table(list(zip(*qrels, strict=True)), schema=QRELS), parts=1),
        "queries": written(folder / "queries", pa.table([list("012"), ["q0", "q1", "q2"], [None] * 3], schema=QUERIES)),
        "documents": written(
            folder / "documents", pa.table([DOCS, ["t"] * 10, [f"text {d}" for d in DOCS]], schema=DOCUMENTS)
        ),
    }
    if fields.keys() & {"hold_out", "dev_fold"}:
        inputs["folds"] = written(folder / "folds", pa.table([list("012"), [0, 1, 2]], schema=FOLDS))
    out = Artifact(folder / f"out{sorted(fields.items())}", "pairs")
    make(SamplePairs(**fields), inputs, out, executor or LocalExecutor())
    return out


def test_relevant_documents_and_candidates_that_are_not(tmp_path: Path) -> None:
    out = sample(tmp_path, hold_out=2, negatives=2, depth=6)
    rows = out.read().to_pylist()
    assert {r["query_id"] for r in rows} == {"0", "1"}
    assert [r["id"] for r in rows if r["label"] and r["query_id"] == "1"] == ["1 d1", "1 d2"]
    negatives = [r["id"].split()[1] for r in rows if not r["label"] and r["query_id"] == "1"]
    assert sorted(negatives) == ["d0", "d3", "d4", "d5"]  # all there are among the first 6
    assert {r["split"] for r in rows} == {"train"}
    assert next(r for r in rows if r["id"] == "1 d1")["text"] == "t text d1"


def test_a_relevant_document_that_the_collection_lacks_is_an_error_row(tmp_path: Path) -> None:
    errors = sample(tmp_path, negatives=1).errors()
    assert errors is not None
    assert [(e["item"], e["reason"]) for e in errors.to_pylist()] == [
        ("0 lost", "document lost is not in the collection")
    ]


def test_dev_queries_have_all_their_first_candidates(tmp_path: Path) -> None:
    rows = sample(tmp_path, hold_out=2, dev_fold=1, dev_depth=3).read().to_pylist()
    dev = [(r["id"], r["label"]) for r in rows if r["split"] == "dev"]
    assert dev == [("1 d0", 0), ("1 d1", 1), ("1 d2", 1)]
    assert {r["query_id"] for r in rows if r["split"] == "train"} == {"0"}


def test_the_draw_is_seeded_and_does_not_depend_on_other_queries(tmp_path: Path) -> None:
    def negatives(**fields: int) -> list[str]:
        return [r["id"] for r in sample(tmp_path, negatives=2, **fields).read().to_pylist() if r["query_id"] == "1"]

    assert negatives() == negatives(hold_out=0)
    assert negatives() != negatives(seed=1)


def test_the_candidates_of_a_query_stay_together_where_a_part_is_cut(tmp_path: Path) -> None:
    cut, at_once = (
        sample(tmp_path / type(e).__name__, e, hold_out=2, negatives=2) for e in (CarefulExecutor(), LocalExecutor())
    )
    assert cut.read() == at_once.read()
    assert cut.manifest["errors"] == at_once.manifest["errors"] == 1


def test_folds_are_read_only_where_one_is_named() -> None:
    inputs = dict.fromkeys(("run", "qrels", "queries", "documents"), "")
    SamplePairs().check_inputs(inputs)
    for fields in ({"hold_out": 0}, {"dev_fold": 0}):
        with pytest.raises(UserError, match="needs the input 'folds'"):
            SamplePairs(**fields).check_inputs(inputs)


def test_a_fold_is_not_held_out_and_watched(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="fold 1 cannot be held out"):
        SamplePairs(hold_out=1, dev_fold=1)
