"""A part whose worker dies twice is run item by item: what comes out is the same, or an item is given up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from models.tasks import ClassifyText, MultiTask, SpanQA, TagWords, Task
from pipeline import Artifact, LocalExecutor, Stage
from pipeline.graph import make
from pipeline.store import read_part
from stages.encode import Encode
from stages.evaluate import Evaluate
from stages.predict import Predict
from stages.train import Train
from tests.case import artifact
from tests.pipeline.careful import CarefulExecutor
from tests.stages.tiny_world import extended_bert

TAG = TagWords(tags=("O", "X"), max_tokens=6)
SPAN = SpanQA(max_tokens=12, stride=3)
KIND = ClassifyText(labels=("a", "b"))
TASKS: dict[str, Task] = {"tag": TAG, "span": SPAN, "several": MultiTask({"kind": KIND, "tag": TAG})}
ROWS: dict[str, dict[str, Any]] = {
    "tag": {"words": ["stir", "the", "soup", "now", "cut"], "tags": list("OXOOX")},
    "span": {"question": "stir", "context": "the soup now " * 8, "answers": [{"text": "soup", "start": 4}]},
    "kind": {"text": "stir", "label": "a"},
}
SPLITS = ("train", "dev", "test", "test", "test")


def table(name: str) -> pa.Table:
    return pa.Table.from_pylist([{"id": f"{i}", **ROWS[name], "split": split} for i, split in enumerate(SPLITS)])


def made(folder: Path, stage: Stage, executor: LocalExecutor, **inputs: Artifact) -> Artifact:
    out = Artifact(folder, folder.name)
    make(stage, inputs, out, executor)
    return out


@pytest.mark.parametrize("name", TASKS)
def test_the_windows_of_a_row_stay_together(name: str, tmp_path: Path) -> None:
    task = TASKS[name]
    start = extended_bert(tmp_path / "start")
    rows = {n: artifact(tmp_path / n, table(n), parts=1) for n in (task.inputs() or [name])}
    inputs = rows if task.inputs() else {"rows": rows[name]}
    examples = made(tmp_path / "examples", Encode(task=task), LocalExecutor(), model=start, **inputs)
    assert examples.rows() > len(rows) * len(SPLITS)
    run = Train(task=task, steps=1, global_batch_size=2, precision="float32")
    both = {"model": made(tmp_path / "model", run, LocalExecutor(), model=start, examples=examples)}
    both["examples"] = examples
    found = {}
    for executor in (LocalExecutor(), CarefulExecutor()):
        folder = tmp_path / type(executor).__name__
        figures = made(folder / "figures", Evaluate(task=task), executor, **both)
        answers = made(folder / "answers", Predict(task=task), executor, **both)
        assert figures.errors() is None
        results = [json.loads(result) for result in figures.read()["result"].to_pylist()]
        found[folder.name] = figures.manifest["metrics"], results, answers.read().to_pylist()
    (metrics, results, answered), (careful_metrics, careful_results, careful_answered) = found.values()
    assert len(results) == len(answered) == 3 * len(rows)
    assert careful_metrics == pytest.approx(metrics)
    assert [r.get("id") for r in careful_results] == [r.get("id") for r in results]
    assert [a["id"] for a in careful_answered] == [a["id"] for a in answered]
    for column in ("tagged", "answer"):
        assert [a.get(column) for a in careful_answered] == [a.get(column) for a in answered]


def test_the_sentences_of_a_document_are_encoded_together(tmp_path: Path) -> None:
    task = TagWords(tags=("O",), document_context=True)
    several = MultiTask({"tag": task, "kind": ClassifyText(labels=("a",))})
    assert [t.looks_around for t in (task, several, TAG, TASKS["several"], SPAN)] == [True, True, False, False, False]
    words = ("stir", "the", "soup", "now")
    rows = [{"id": w, "words": [w], "tags": ["O"], "document": "d", "split": "train"} for w in words]
    inputs = {
        "rows": artifact(tmp_path / "rows", pa.Table.from_pylist(rows), parts=1),
        "model": extended_bert(tmp_path / "start"),
    }
    careful = made(tmp_path / "careful", Encode(task=task), CarefulExecutor(), **inputs)
    at_once = made(tmp_path / "at-once", Encode(task=task), LocalExecutor(), **inputs)
    assert [len(ids) for ids in at_once.read()["input_ids"].to_pylist()] == [6] * 4
    assert [read_part(p) for p in careful.parts] == [read_part(p) for p in at_once.parts]
