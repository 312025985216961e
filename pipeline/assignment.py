"""``NODE.FIELD=VALUE``: one field of a workflow's stage changed from the command line, with the field's own type."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, get_type_hints

from pipeline.arguments import Parser
from pipeline.errors import UserError, unknown
from pipeline.graph import Graph


def assign(graph: Graph, assignment: str) -> None:
    """Change one field of one node as ``NODE.FIELD=VALUE`` says; FIELD may be dotted to reach into a nested one."""
    path, equals, value = assignment.partition("=")
    node, *fields = path.split(".")
    if not (equals and fields):
        raise UserError(f"--set {assignment}: expected NODE.FIELD=VALUE")
    try:
        if node not in graph:
            raise unknown("node", node, graph)
        changed = _changed(graph[node].stage, fields, value)
        graph.replace(node, **{fields[0]: getattr(changed, fields[0])})
    except ValueError as error:
        raise UserError(f"--set {path}: {error}") from None


def _changed(owner: Any, fields: Sequence[str], value: str) -> Any:
    """A copy of dataclass ``owner`` with the field at the end of ``fields`` parsed from ``value``."""
    if not dataclasses.is_dataclass(owner) or isinstance(owner, type):
        raise UserError(f"{type(owner).__name__} has no fields, so no '{fields[0]}'")
    name, *deeper = fields
    names = [f.name for f in dataclasses.fields(owner)]
    if name not in names:
        raise unknown("field", name, names)
    if deeper:
        new = _changed(getattr(owner, name), deeper, value)
    else:
        parser = Parser()
        parser.add_argument(f"--{name}", type=get_type_hints(type(owner))[name])
        try:
            new = parser.read([f"--{name}={value}"])[name]
        except UserError as error:
            raise UserError(str(error).removeprefix(f"--{name}: ")) from None
    return dataclasses.replace(owner, **{name: new})
