"""Lists on standard output: what there is to run, and what of a graph is done."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.catalogue import Entry
from pipeline.graph import Graph
from pipeline.store import Artifact


def console(piped_width: int = 160) -> Console:
    """Standard output, as wide as the terminal; no text in it is taken for markup."""
    width = None if sys.stdout.isatty() else piped_width
    return Console(highlight=False, markup=False, emoji=False, width=width)


def list_entries(sections: Mapping[str, Mapping[str, Entry]]) -> None:
    """A line for each stage or workflow, under the name of its section."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for title, entries in sections.items():
        table.add_row(Text(title, "bold"))
        for entry in entries.values():
            table.add_row(f"  {entry.name}", entry.summary)
    console().print(table)


def list_nodes(graph: Graph, artifacts: Mapping[str, Artifact]) -> None:
    """Each node's stage, state and directory."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("node", "stage", "state"):
        table.add_column(name, no_wrap=True)
    table.add_column("path", overflow="fold")
    for name, artifact in artifacts.items():
        begun = artifact.path.is_dir()
        state = Text("done", "green") if artifact.done else Text("to do, begun" if begun else "to do", "yellow")
        table.add_row(name, type(graph[name].stage).__name__, state, str(artifact.path))
    console(piped_width=10_000).print(table)
