"""A task on disk: ``task.json``, which names its class and holds its fields, also where those hold further tasks."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.tasks.task import Task

TASK = "task.json"
_OBJECT = {"class", "fields"}


def save_task(task: Task, path: Path) -> None:
    """Write ``task`` to the file ``path``."""
    path.write_text(json.dumps(_as_json(task), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load_task(directory: str | Path) -> Task:
    """The task that lies in a directory: what a model was trained for, or examples were made for.

    ValueError where there is none, or it is of a class that is no more.
    """
    path = Path(directory) / TASK
    if not path.is_file():
        raise ValueError(f"{directory}: neither a trained model nor a task's examples (it has no {TASK})")
    try:
        task: Task = _from_json(json.loads(path.read_text(encoding="utf-8")))
    except (ImportError, AttributeError, TypeError) as error:
        raise ValueError(f"{path}: written by another version of its task ({error})") from error
    return task


def _as_json(value: Any) -> Any:
    """Dataclasses as class and fields, mappings as objects, sequences as arrays."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            "class": f"{type(value).__module__}.{type(value).__qualname__}",
            "fields": {f.name: _as_json(getattr(value, f.name)) for f in dataclasses.fields(value)},
        }
    if isinstance(value, Mapping):
        if set(value) == _OBJECT:
            raise TypeError(f"a mapping with exactly the keys {sorted(_OBJECT)} cannot be a task's field")
        return {str(k): _as_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(v) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a task's field must be plain data, a dataclass or a mapping, not {type(value).__name__}")


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_from_json, value))
    if isinstance(value, dict):
        fields = {k: _from_json(v) for k, v in value.items()}
        if set(value) != _OBJECT:
            return fields
        module, _, name = value["class"].rpartition(".")
        return getattr(importlib.import_module(module), name)(**_from_json(value["fields"]))
    return value
