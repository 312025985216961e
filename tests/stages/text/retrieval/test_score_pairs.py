from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models.encoder import TaskModel
from models.tasks import JudgeRelevance
from pipeline import Artifact, LocalExecutor
from pipeline.graph import make
from stages.inference import Inference
from stages.text.retrieval.schemas import DOCUMENTS, FOLDS, QUERIES, RUN
from stages.text.retrieval.score_pairs import ScorePairs
from stages.text.retrieval.split_sentences import SENTENCES
from tests.case import artifact as written
from tests.models.small_encoders import save_encoder

TASK = JudgeRelevance(score="logit", max_tokens=24)
TEXTS = {"a": "leek soup", "b": "stir the soup now", "c": "cut " * 40}


def model(folder: Path) -> Artifact:
    """An encoder with a fresh head, as Train would leave it."""
    save_encoder(folder / "encoder")
    TaskModel.start(folder / "encoder", TASK, seed=3).save(folder / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / "model" / name).write_bytes((folder / "encoder" / name).read_bytes())
    return Artifact(folder / "model", "model")


def world(folder: Path) -> dict[str, Artifact]:
    run = [(q, d, rank, 1.0) for q in ("1", "2", "?") for rank, d in enumerate(("b", "a", "lost", "c"), 1)]
    documents = pa.table([list(TEXTS), ["now", None, None], list(TEXTS.values())], schema=DOCUMENTS)
    return {
        "model": model(folder),
        "run": written(folder / "run", pa.table(list(zip(*run, strict=True)), schema=RUN)),
        "queries": written(folder / "queries", pa.table([["1", "2"], ["stir it", "cut"], [None] * 2], schema=QUERIES)),
        "passages": written(folder / "passages", documents, suffix=".arrow"),
    }


def scores(folder: Path, inputs: dict[str, Artifact], **fields: object) -> tuple[dict[tuple, float], Artifact]:
    out = Artifact(folder / f"out{sorted(fields.items())}", "scores")
    if "fold" in fields:
        inputs = {**inputs, "folds": written(folder / "folds", pa.table([["1", "2"], [0, 1]], schema=FOLDS))}
    make(ScorePairs(task=TASK, **fields), inputs, out, LocalExecutor(max_error_rate=1))  # type: ignore[arg-type]
    return {(r["query_id"], r["doc_id"], r["passage"]): r["score"] for r in out.read().to_pylist()}, out


def test_scores_are_those_of_pairs_encoded_one_by_one(tmp_path: Path) -> None:
    inputs = world(tmp_path)
    found, _ = scores(tmp_path, inputs)
    inference = Inference(inputs["model"].path)
    rows = [
        {"query": query, "text": ("now " if d == "a" else "") + text}
        for query in ("stir it", "cut")
        for d, text in TEXTS.items()
    ]
    expected = [inference.predict(inference.task.encode(row, inference.tokenizer))[0]["score"] for row in rows]
    assert [found[q, d, 0] for q in "12" for d in TEXTS] == pytest.approx(expected, abs=0.02)
    assert len(found) == 6


def test_what_cannot_be_scored_is_an_error_row(tmp_path: Path) -> None:
    _, out = scores(tmp_path, world(tmp_path))
    errors = out.errors()
    assert errors is not None
    reasons = sorted(set(errors["reason"].to_pylist()))
    assert reasons == [
        "document lost of the run has no passage to score",
        "query ? of the run is not among the queries",
    ]


def test_only_one_fold_and_the_first_candidates(tmp_path: Path) -> None:
    found, _ = scores(tmp_path, world(tmp_path), fold=1, depth=2)
    assert set(found) == {("2", "b", 0), ("2", "a", 0)}


def test_every_sentence_has_a_score(tmp_path: Path) -> None:
    inputs = world(tmp_path)
    sentences = [("a", 0, "leek"), ("a", 1, "soup"), ("b", 0, "stir"), ("c", 0, "cut")]
    table = pa.table(list(zip(*sentences, strict=True)), schema=SENTENCES)
    inputs["passages"] = written(tmp_path / "sentences", table, suffix=".arrow")
    found, _ = scores(tmp_path, inputs, fold=0)
    assert set(found) == {("1", d, i) for d, i, _ in sentences}
    assert np.isfinite(list(found.values())).all()
