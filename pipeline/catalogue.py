"""The stages and workflows there are, by a convention instead of a registry; listing them imports nothing.

A stage is the class of a file below ``stages/`` that carries the file's name (``stages/video/embed_clips.py`` holds
``EmbedClips``). A workflow is a file below ``workflows/`` with a function ``graph``; it is called by its path without
the suffix (``text.tagging``), or by the last part alone where only one has it.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from pipeline.errors import UserError, unknown
from pipeline.stage import Stage


@dataclass(frozen=True)
class Entry:
    """A stage or workflow: what it is called, the module it is in and the first line of its docstring."""

    name: str
    module: str
    summary: str


def stages() -> dict[str, Entry]:
    """All stages by class name, in the order of their files."""
    return {e.name: e for module, path in _files("stages") for e in _stage(module, path)}


def workflows() -> dict[str, Entry]:
    """All workflows by their path below ``workflows/``, in the order of their files."""
    return {e.name: e for module, path in _files("workflows") for e in _workflow(module, path)}


def load_stage(name: str) -> type[Stage]:
    """The class of that name. UserError where there is none."""
    known = stages()
    if name not in known:
        raise unknown("stage", name, known)
    stage: type[Stage] = getattr(importlib.import_module(known[name].module), name)
    return stage


def load_workflow(name: str) -> ModuleType:
    """The workflow's module. UserError where there is none, or where a short name fits several."""
    known = workflows()
    matches = [name] if name in known else [n for n in known if n.rpartition(".")[2] == name]
    if not matches:
        raise unknown("workflow", name, known)
    if len(matches) > 1:
        raise UserError(f"several workflows are called '{name}': {', '.join(matches)}")
    return importlib.import_module(known[matches[0]].module)


def _files(package: str) -> Iterator[tuple[str, Path]]:
    """Module name and path of every file of an importable package: those of its own directory first."""
    spec = importlib.util.find_spec(package)
    for root in map(Path, (spec and spec.submodule_search_locations) or ()):
        for path in sorted(root.rglob("*.py"), key=lambda p: (len(p.parts), p)):
            if path.name != "__init__.py":
                yield ".".join((package, *path.relative_to(root).with_suffix("").parts)), path


def _stage(module: str, path: Path) -> Iterator[Entry]:
    for node in _parse(path).body:
        if isinstance(node, ast.ClassDef) and node.name.lower() == path.stem.replace("_", ""):
            bases = [ast.unparse(b).rpartition(".")[2] for b in node.bases]
            if any(base.endswith("Stage") for base in bases):
                yield Entry(node.name, module, first_line(ast.get_docstring(node)))


def _workflow(module: str, path: Path) -> Iterator[Entry]:
    tree = _parse(path)
    if any(isinstance(node, ast.FunctionDef) and node.name == "graph" for node in tree.body):
        yield Entry(".".join(module.split(".")[1:]), module, first_line(ast.get_docstring(tree)))


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), path)


def first_line(docstring: str | None) -> str:
    return (docstring or "").strip().partition("\n")[0]
