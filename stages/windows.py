"""Rows that are too long for one example: what a task says of their windows becomes one answer a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.tasks import Row, Task
from models.tasks.task import WINDOW, has_windows


def join_windows(task: Task, examples: Sequence[Row], answers: Sequence[Row]) -> list[dict[str, Any]]:
    """One answer a row from the answers to its examples, both in the order of the rows."""
    if not has_windows(task):
        return [dict(answer) for answer in answers]
    rows: list[list[Row]] = []
    for example, answer in zip(examples, answers, strict=True):
        if example[WINDOW] == 0 or not rows:
            rows.append([])
        rows[-1].append(answer)
    return [task.join(row) for row in rows]
