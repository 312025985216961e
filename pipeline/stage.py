"""A stage: a frozen dataclass whose fields are its whole configuration."""

from __future__ import annotations

import dataclasses
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from pipeline.errors import UserError
from pipeline.executor import Executor
from pipeline.store import Artifact, digest


@dataclass(frozen=True, kw_only=True)
class Stage(ABC):
    """One step from artifacts to an artifact. Whatever changes the result is a field; nothing else is."""

    version: ClassVar[str] = "1"
    """Raised when the code writes something else for the same fields and inputs."""
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Input name -> the columns it must have; no columns for an artifact that is not a table."""
    optional: ClassVar[frozenset[str]] = frozenset()
    """The inputs that may be left out."""
    writes: ClassVar[pa.Schema | None] = None
    """The schema of the parts written; None for an artifact that is not a table."""

    writes_like: ClassVar[str | None] = None
    """The input whose columns the parts have, of a stage that leaves rows out or changes values; ``writes`` is None."""

    neutral: ClassVar[frozenset[str]] = frozenset()
    """Fields that say how to compute and not what: memory for time, how often to save. Not part of the key."""

    paths: ClassVar[frozenset[str]] = frozenset()
    """Fields that name files, folders, patterns or lists of them with commas. The key has them as absolute paths, or,
    where there is an input "folder" that they start from, without needless parts: it does not depend on spelling."""

    @abstractmethod
    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any] | None:
        """Write the artifact's files into ``out``, going on from what an interrupted run left there.

        What is returned goes into the manifest beside the fields: digests of weights, a feature's recipe.
        """

    def fingerprint(self) -> str:
        """Names what the fields point to outside the store (files, weights). UserError where it is missing."""
        return ""

    def check(self) -> None:  # noqa: B027 - most stages need nothing
        """UserError where something from elsewhere that ``run`` needs, a model of the hub, cannot be had.

        Called before any node of a run is made. What it fetches may stay in that library's cache.
        """

    def key(self, input_keys: Mapping[str, str]) -> str:
        """Names the artifact: class, version, fields, outside files and inputs, each by its own key."""
        return digest(
            {
                "stage": type(self).__name__,
                "version": self.version,
                "fields": self._fields_of_key(below="folder" in input_keys),
                "fingerprint": self.fingerprint(),
                "inputs": dict(input_keys),
            }
        )

    def _fields_of_key(self, below: bool) -> dict[str, Any]:
        fields = {n: v for n, v in fields_as_json(self, pairs=True).items() if n not in self.neutral}
        for name in self.paths:
            if fields[name]:
                fields[name] = os.path.normpath(fields[name]) if below else one_spelling(fields[name])
        return fields

    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """This stage's inputs and their columns: ``reads``, unless they follow from the fields."""
        return self.reads

    def check_inputs(self, names: Mapping[str, object]) -> None:
        """UserError unless ``names`` are exactly this stage's inputs (optional ones may be absent)."""
        name, needs = type(self).__name__, self.needs()
        known = ", ".join(needs) or "none"
        for given in names:
            if given not in needs:
                raise UserError(f"{name} has no input '{given}' (its inputs: {known})")
        missing = [i for i in needs if i not in names and i not in self.optional]
        if missing:
            raise UserError(f"{name} needs the input '{missing[0]}' (its inputs: {known})")

    def check_columns(self, input_name: str, schema: pa.Schema | None, source: str) -> None:
        """UserError where ``source``, bound to ``input_name``, lacks a column that this stage reads."""
        needed = self.needs()[input_name]
        have = schema.names if schema is not None else []
        missing = [c for c in needed if c not in have]
        if missing:
            raise UserError(
                f"{type(self).__name__} reads {', '.join(missing)} from its input '{input_name}', "
                f"but {source} has {', '.join(have) or 'no table'}"
            )


def one_spelling(paths: str) -> str:
    """Absolute paths and patterns for those in a field, with commas between them; what names no file stays."""
    pieces = [paths] if Path(paths).exists() else [piece.strip() for piece in paths.split(",")]
    return ",".join(
        os.path.normpath(Path(p).absolute()) if Path(p).exists() or set(p) & set("*?[") else p for p in pieces
    )


def fields_as_json(value: Any, pairs: bool = False) -> Any:
    """A stage's or task's fields as JSON: dataclasses as {"class": name, field: value}, paths as text.

    With ``pairs`` a field's mapping is a list of its entries: the order in which it names things, tasks for example,
    may change the result, and a digest sorts by name.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: fields_as_json(getattr(value, f.name), pairs) for f in dataclasses.fields(value)}
        return fields if isinstance(value, Stage) else {"class": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        entries = {str(k): fields_as_json(v, pairs) for k, v in value.items()}
        return [*map(list, entries.items())] if pairs else entries
    if isinstance(value, (list, tuple)):
        return [fields_as_json(v, pairs) for v in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 20 and 20.0 are one value, and one key
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a field's value must be plain data or a dataclass, not {type(value).__name__}: {value!r}")
