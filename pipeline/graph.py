"""A workflow: stages joined by directories, planned by keys and run in the order they were added."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import multiprocessing
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from rich.table import Table

from pipeline.errors import StageFailed, UserError, unknown
from pipeline.executor import UNGUARDED, Executor
from pipeline.progress import CONSOLE, say, titled
from pipeline.stage import Stage, fields_as_json
from pipeline.store import (
    ERRORS,
    MANIFEST,
    Artifact,
    Store,
    part_number,
    part_rows,
    read_part,
    remove_leftovers,
    write_json,
    write_part,
)

LIBRARIES = ("torch", "torchvision", "transformers", "numpy", "pyarrow", "faiss-cpu", "av", "openai-whisper")


@dataclass(frozen=True)
class Node:
    """A stage and, for each of its inputs, the name of the node it comes from."""

    stage: Stage
    inputs: Mapping[str, str]


class Graph(dict[str, Node]):
    """Nodes by name. Inputs exist before what reads them, so the order of adding is an order of running."""

    def add(self, name: str, stage: Stage, **inputs: str) -> str:
        """Add a node and return its name. UserError where an input is unknown, missing or has the wrong columns."""
        if name in self:
            raise UserError(f"the graph has a node '{name}' already")
        node = Node(stage, inputs)
        self._check(name, node)
        self[name] = node
        return name

    def check(self) -> None:
        """UserError where a node's fields no longer fit its inputs, or those of the nodes that it reads."""
        for name, node in self.items():
            with told_of(name):
                self._check(name, node)

    def _check(self, name: str, node: Node) -> None:
        node.stage.check_inputs(node.inputs)
        for input_name, source in node.inputs.items():
            if source not in self:
                raise UserError(f"node '{name}' reads '{source}', which is not in the graph yet")
            node.stage.check_columns(input_name, self.schema(source), f"node '{source}'")

    def schema(self, name: str) -> pa.Schema | None:
        """The schema of the parts that node ``name`` writes; None for one that writes no table."""
        node = self[name]
        like = node.stage.writes_like
        return node.stage.writes if like is None else self.schema(node.inputs[like])

    def replace(self, name: str, **fields: Any) -> None:
        """Change fields of the stage of node ``name``. UserError where there is no such node or field."""
        if name not in self:
            raise unknown("node", name, self)
        stage = self[name].stage
        known = [f.name for f in dataclasses.fields(stage)]
        for field in fields:
            if field not in known:
                raise unknown(f"field of {type(stage).__name__}", field, known)
        self[name] = Node(dataclasses.replace(stage, **fields), self[name].inputs)

    def ancestors(self, names: Sequence[str]) -> list[str]:
        """``names`` and all they need, in running order. UserError for a name that is no node."""
        for name in names:
            if name not in self:
                raise unknown("node", name, self)
        wanted = set(names)
        for name in reversed(self):
            if name in wanted:
                wanted.update(self[name].inputs.values())
        return [n for n in self if n in wanted]


@contextmanager
def told_of(name: str) -> Iterator[None]:
    """UserError and StageFailed say at which node."""
    try:
        yield
    except (UserError, StageFailed) as error:
        raise type(error)(f"node '{name}': {error}") from error


def plan(graph: Graph, store: Store) -> dict[str, Artifact]:
    """Where every node's artifact is or will be. Runs nothing.

    UserError where an outside file is missing, or where fields that were replaced do not fit together.
    """
    graph.check()
    artifacts: dict[str, Artifact] = {}
    for name, node in graph.items():
        with told_of(name):
            key = node.stage.key({i: artifacts[source].key for i, source in node.inputs.items()})
        artifacts[name] = store.artifact(type(node.stage).__name__, key)
    return artifacts


class _Spent(NamedTuple):
    """What this run did for a node."""

    seconds: float
    rows_before: int


def run(graph: Graph, store: Store, executor: Executor, only: Sequence[str] = ()) -> dict[str, Artifact]:
    """Make every artifact that is not there yet and return them all; ``only`` those nodes and what they need.

    Ends with a table of the nodes on standard error, also when a stage fails; what was finished is kept.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError(f"a worker process came upon run() in the script: {UNGUARDED}")
    artifacts = plan(graph, store)
    wanted = graph.ancestors(only) if only else list(graph)
    store.open()
    for name in wanted:
        if not artifacts[name].done:
            with told_of(name):
                graph[name].stage.check()
    spent: dict[str, _Spent | None] = {}
    try:
        for name in wanted:
            node, artifact = graph[name], artifacts[name]
            inputs = {i: artifacts[source] for i, source in node.inputs.items()}
            with store.lock(artifact, waiting=partial(say, f"{name}: waiting for another run that makes it")):
                if artifact.done:
                    spent[name] = None
                    say(f"{name}: done before, {artifact.path}")
                    continue
                say(f"{name}: {type(node.stage).__name__} -> {artifact.path}")
                started, there = time.perf_counter(), artifact.rows()
                try:
                    with titled(name), told_of(name):
                        make(node.stage, inputs, artifact, executor)
                finally:
                    spent[name] = _Spent(time.perf_counter() - started, there)
    finally:
        CONSOLE.print(_closing_table(artifacts, spent))
    return {name: artifacts[name] for name in wanted}


def make(stage: Stage, inputs: Mapping[str, Artifact], artifact: Artifact, executor: Executor) -> None:
    """Run one stage into ``artifact.path``, going on from what lies there, and write the manifest last."""
    out = artifact.path
    out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    started = time.perf_counter()
    extra = dict(stage.run(inputs, out, executor) or {})
    n_errors = _gather_errors(out, type(stage).__name__)
    manifest = {
        "stage": type(stage).__name__,
        "version": stage.version,
        "key": artifact.key,
        "fields": fields_as_json(stage),
        "inputs": {n: {"path": str(a.path), "key": a.key} for n, a in inputs.items()},
        "rows": artifact.rows(),
        "errors": n_errors,
        "bytes": sum(p.stat().st_size for p in out.rglob("*") if p.is_file()),
        "seconds": round(time.perf_counter() - started, 3),
        "libraries": _library_versions(),
        **extra,
    }
    write_json(out / MANIFEST, manifest)


def _gather_errors(out: Path, stage_name: str) -> int:
    """Join the parts' error files into one table, in the order of parts; returns its rows."""
    folder, path = out / "errors", out / ERRORS
    if not path.is_file():  # else a run was killed between here and the manifest, and the folder may be half gone
        tables = []
        for file in sorted(folder.glob("part-*.parquet"), key=part_number):
            rows = read_part(file)
            part = pa.array([part_number(file)] * rows.num_rows, pa.int32())
            stage = pa.array([stage_name] * rows.num_rows, pa.string())
            tables.append(rows.append_column("part", part).append_column("stage", stage))
        if not tables:
            return 0
        write_part(path, pa.concat_tables(tables).select(["item", "part", "stage", "reason"]).combine_chunks())
    shutil.rmtree(folder, ignore_errors=True)
    return part_rows(path)


def _library_versions() -> dict[str, str]:
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _closing_table(artifacts: Mapping[str, Artifact], spent: Mapping[str, _Spent | None]) -> Table:
    """One row a node that was reached; None for one that was there."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("node", "rows", "errors", "seconds", "rows/s", "of the whole"):
        table.add_column(column, justify="left" if column == "node" else "right")
    whole = sum(s.seconds for s in spent.values() if s) or 1.0
    for name, this in spent.items():
        rows, errors, seconds, rate, share = "unfinished", "", "done before", "", ""
        if artifacts[name].done:
            n_rows, n_errors = (artifacts[name].manifest[k] for k in ("rows", "errors"))
            rows, errors = (f"{n:,}" if n else "" for n in (n_rows, n_errors))
        if this:
            seconds, share = f"{this.seconds:,.1f}", f"{this.seconds / whole:.0%}"
            if artifacts[name].done and n_rows:
                rate = f"{(n_rows - this.rows_before) / max(this.seconds, 1e-9):,.1f}"
        table.add_row(name, rows, errors, seconds, rate, share)
    return table
