from pathlib import Path

import pyarrow as pa

from pipeline import Artifact, LocalExecutor
from pipeline.graph import make
from stages.text.group_candidates import GroupCandidates
from stages.text.labelled import LABELLED
from tests.cases import artifact

ROWS = [
    ("1", "Who?", "I.", "entailment", "train"),
    ("2", "Where?", "Here.", "not_entailment", "train"),
    ("3", "Who?", "Monday.", "not_entailment", "train"),
    ("4", "Where?", "There.", "entailment", "dev"),
    ("5", "Why?", "So.", None, "test"),
    ("6", "Where?", "Nowhere.", "entailment", "train"),
]


def test_rows_of_a_question_come_together_wherever_they_stand(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([dict(zip(LABELLED.names, row, strict=True)) for row in ROWS], LABELLED)
    out = Artifact(tmp_path / "out", "key")
    make(GroupCandidates(), {"rows": artifact(tmp_path / "rows", table, parts=3)}, out, LocalExecutor())
    assert [tuple(row.values()) for row in out.read().to_pylist()] == [
        ("1", "Who?", ["I.", "Monday."], [True, False], "train"),
        ("2", "Where?", ["Here.", "Nowhere."], [False, True], "train"),
        ("4", "Where?", ["There."], [True], "dev"),
        ("5", "Why?", ["So."], None, "test"),
    ]
