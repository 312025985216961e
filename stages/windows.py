"""Rows that are too long for one example: what a task says of their windows becomes one answer a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from models.tasks import Row, Task
from models.tasks.task import WINDOW, has_windows


def positions_by_row(task: Task, examples: pa.Table, chosen: np.ndarray, start: int = 0) -> pa.Table:
    """Some examples of a table, by number, as an executor's items: position int64, and row int64, the position of the
    first of their row's windows, which ``join_windows`` needs together. The table's own positions begin at ``start``.
    """
    first = chosen
    if has_windows(task) and len(chosen):
        begins = examples[WINDOW].to_numpy()[chosen] == 0
        begins[0] = True
        first = chosen[np.maximum.accumulate(np.where(begins, np.arange(len(chosen)), 0))]
    return pa.table({"row": first + start, "position": chosen + start})


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
