from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from models.task_file import TASK, load_task, save_task
from models.tasks import VideoText


@dataclass(frozen=True)
class Several:
    """A task's fields of every kind."""

    tasks: Mapping[str, VideoText] = field(default_factory=dict)
    first: VideoText = field(default_factory=VideoText)
    labels: tuple[str, ...] = ()
    rules: tuple[tuple[str, int], ...] = ()
    rate: float | None = None
    name: str = ""


def returned(task: object, folder: Path) -> object:
    save_task(task, folder / TASK)
    return load_task(folder)


def test_fields_of_every_kind_come_back(tmp_path: Path) -> None:
    task = Several(
        tasks={"a": VideoText(max_text=3), "class": VideoText()},
        first=VideoText(joint_weight=0.5),
        labels=("é", "B-x"),
        rules=(("↓", 1), ("d", 2)),
        rate=0.1,
    )
    assert returned(task, tmp_path) == task
    assert "é" in (tmp_path / TASK).read_text(encoding="utf-8")


def test_what_would_not_come_back_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="exactly the keys"):
        returned(Several(tasks={"class": VideoText(), "fields": VideoText()}), tmp_path)
    with pytest.raises(TypeError, match="plain data"):
        returned(Several(name=tmp_path), tmp_path)  # type: ignore[arg-type]


def test_no_task_and_one_of_another_version_are_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"neither a trained model nor a task's examples \(it has no task.json\)"):
        load_task(tmp_path)
    saved = {"class": "models.tasks.video_text.VideoText", "fields": {"gone": 1}}
    (tmp_path / TASK).write_text(json.dumps(saved))
    with pytest.raises(ValueError, match="written by another version of its task"):
        load_task(tmp_path)
    (tmp_path / TASK).write_text(json.dumps({**saved, "class": "models.gone.Task"}))
    with pytest.raises(ValueError, match="written by another version of its task"):
        load_task(tmp_path)
