from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from pipeline import Artifact, LocalExecutor
from pipeline.graph import make
from stages.text.read_squad import ReadSquad
from stages.text.retrieval.pair_questions import PairQuestions
from tests.case import artifact as written

CONTEXT = "Leeks are cut.  Dr. Leek cut them. ... The soup is stirred."


def test_the_sentence_that_an_answer_begins_in_is_relevant(tmp_path: Path) -> None:
    at = CONTEXT.index("Dr. Leek")
    row = {"id": "q", "title": "t", "question": "who?", "context": CONTEXT, "split": "train"}
    rows = [
        {**row, "answers": [{"text": "Dr. Leek", "start": at}]},
        {**row, "id": "none", "answers": []},
        {**row, "id": "test", "answers": None},
    ]
    inputs = {"questions": written(tmp_path / "in", pa.Table.from_pylist(rows, ReadSquad.writes), parts=1)}
    out = Artifact(tmp_path / "out", "pairs")
    make(PairQuestions(), inputs, out, LocalExecutor())
    pairs = [(r["id"], r["text"], r["label"]) for r in out.read().to_pylist()]
    assert [(text, label) for id_, text, label in pairs if id_.startswith("q ")] == [
        ("Leeks are cut.", 0),
        ("Dr. Leek cut them.", 1),
        ("The soup is stirred.", 0),
    ]
    assert [label for id_, _, label in pairs if id_.startswith("none ")] == [0, 0, 0]
    errors = out.errors()
    assert errors is not None
    assert errors["item"].to_pylist() == ["test"]
