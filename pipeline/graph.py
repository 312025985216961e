"""A workflow: stages joined by directories, planned by keys and run in the order they were added."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.table import Table

from pipeline.errors import UserError
from pipeline.executor import ERROR_SCHEMA, Executor
from pipeline.progress import CONSOLE, say
from pipeline.stage import Stage, fields_as_json
from pipeline.store import ERRORS, MANIFEST, Artifact, Store, remove_leftovers, write_atomically, write_json

LIBRARIES = ("torch", "torchvision", "transformers", "numpy", "pyarrow", "faiss-cpu", "decord", "av", "openai-whisper")


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
        stage.check_inputs(inputs)
        for input_name, source in inputs.items():
            if source not in self:
                raise UserError(f"node '{name}' reads '{source}', which is not in the graph yet")
            stage.check_columns(input_name, self[source].stage.writes, f"node '{source}'")
        self[name] = Node(stage, inputs)
        return name

    def replace(self, name: str, **fields: Any) -> None:
        """Change fields of the stage of node ``name``."""
        self[name] = Node(dataclasses.replace(self[name].stage, **fields), self[name].inputs)

    def ancestors(self, names: Sequence[str]) -> list[str]:
        """``names`` and all they need, in running order. UserError for a name that is no node."""
        for name in names:
            if name not in self:
                raise UserError(f"no node '{name}' (the graph has: {', '.join(self)})")
        wanted = set(names)
        for name in reversed(self):
            if name in wanted:
                wanted.update(self[name].inputs.values())
        return [n for n in self if n in wanted]


def plan(graph: Graph, store: Store) -> dict[str, Artifact]:
    """Where every node's artifact is or will be. Runs nothing. UserError where an outside file is missing."""
    artifacts: dict[str, Artifact] = {}
    for name, node in graph.items():
        try:
            key = node.stage.key({i: artifacts[source].key for i, source in node.inputs.items()})
        except UserError as error:
            raise UserError(f"node '{name}': {error}") from None
        artifacts[name] = store.artifact(type(node.stage).__name__, key)
    return artifacts


def run(graph: Graph, store: Store, executor: Executor, only: Sequence[str] = ()) -> dict[str, Artifact]:
    """Make every artifact that is not there yet and return them all; ``only`` those nodes and what they need.

    Ends with a table of the nodes on standard error, also when a stage fails; what was finished is kept.
    """
    artifacts = plan(graph, store)
    wanted = graph.ancestors(only) if only else list(graph)
    seconds: dict[str, float | None] = {}
    try:
        for name in wanted:
            node = graph[name]
            inputs = {i: artifacts[source] for i, source in node.inputs.items()}
            started = time.perf_counter()
            with store.lock(artifacts[name]) as waited:
                if artifacts[name].done:
                    seconds[name] = None
                    say(f"{name}: {'made by another run' if waited else 'done before'}, {artifacts[name].path}")
                    continue
                say(f"{name}: {type(node.stage).__name__} -> {artifacts[name].path}")
                make(node.stage, inputs, artifacts[name], executor)
            seconds[name] = time.perf_counter() - started
    finally:
        CONSOLE.print(_closing_table(artifacts, seconds))
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
    folder = out / "errors"
    tables = []
    for path in sorted(folder.glob("part-*.parquet")):
        rows = pq.read_table(path, schema=ERROR_SCHEMA)
        part = int(path.stem.removeprefix("part-"))
        tables.append(
            rows.append_column("part", pa.array([part] * rows.num_rows, pa.int32())).append_column(
                "stage", pa.array([stage_name] * rows.num_rows)
            )
        )
    if not tables:
        return 0
    table = pa.concat_tables(tables).select(["item", "part", "stage", "reason"])
    with write_atomically(out / ERRORS) as temporary:
        pq.write_table(table, temporary)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    return int(table.num_rows)


def _library_versions() -> dict[str, str]:
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _closing_table(artifacts: Mapping[str, Artifact], seconds: Mapping[str, float | None]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("node", "rows", "errors", "seconds", "rows/s", "of the whole"):
        table.add_column(column, justify="left" if column == "node" else "right")
    whole = sum(s for s in seconds.values() if s is not None) or 1.0
    for name, spent in seconds.items():
        manifest = artifacts[name].manifest
        rows = manifest["rows"]
        cells = [name, f"{rows:,}" if rows else "", f"{manifest['errors']:,}" if manifest["errors"] else ""]
        if spent is None:
            cells += ["done before", "", ""]
        else:
            cells += [f"{spent:,.1f}", f"{rows / max(spent, 1e-9):,.1f}" if rows else "", f"{spent / whole:.0%}"]
        table.add_row(*cells)
    return table
