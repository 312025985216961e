"""What an artifact holds and where it came from, for people."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from rich.console import Group
from rich.filesize import decimal
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from pipeline.errors import UserError
from pipeline.listing import console
from pipeline.store import ERRORS, MANIFEST, Artifact, part_rows, read_part

FIRST_ROWS = 5
FIRST_ERRORS = 5
LONGEST_LIST = 8
MANY_FILES = 20
LIST_TAG = "tag:yaml.org,2002:seq"
STANDARD = ("stage", "version", "key", "fields", "inputs", "rows", "errors", "bytes", "seconds", "libraries")
"""What every manifest has; whatever else there is, its stage had to say."""


def show(path: Path) -> None:
    """Print everything about one finished artifact. UserError, saying what it is instead, where it is none."""
    found = _open(path)
    manifest, screen = found.manifest, console()
    parts = found.parts
    written = datetime.fromtimestamp((path / MANIFEST).stat().st_mtime).strftime("%Y-%m-%d %H:%M")

    def section(title: str, *content: Any) -> None:
        screen.print(Text(f"\n{title}", "bold"))
        screen.print(Padding(Group(*content), (0, 0, 0, 2), expand=False))

    screen.print(Text.assemble((manifest["stage"], "bold"), f"  {path}"))
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_row("written", f"{written}, in {_duration(manifest['seconds'])}")
    if parts:
        facts.add_row("rows", f"{manifest['rows']:,} in {len(parts):,} {'part' if len(parts) == 1 else 'parts'}")
    facts.add_row("size", decimal(manifest["bytes"]))
    facts.add_row("errors", Text(f"{manifest['errors']:,}", "red" if manifest["errors"] else ""))
    facts.add_row("version", f"{manifest['version']}, key {manifest['key']}")
    facts.add_row("libraries", ", ".join(f"{name} {version}" for name, version in manifest["libraries"].items()))
    screen.print(Padding(facts, (0, 0, 0, 2), expand=False))
    section("fields", _yaml(manifest["fields"]))
    for name in manifest:
        if name not in STANDARD:
            section(name, _yaml(manifest[name]))
    errors = found.errors()
    if errors is not None:
        section("errors", *_first_errors(errors))
    if manifest["inputs"]:
        section("from", _origin(Tree(Text(_short(path))), found, set()))
    section("files", _files(found))
    first = next((p for p in parts if part_rows(p)), None)
    if first is not None:
        section("first rows", _rows(_head(first, FIRST_ROWS)))


def _open(path: Path) -> Artifact:
    if path.is_dir() and not (path / MANIFEST).is_file():
        inside = sorted(p.parent.name for p in path.glob(f"*/{MANIFEST}"))
        if inside:
            names = ", ".join(inside[:MANY_FILES]) + (", …" if inside[MANY_FILES:] else "")
            raise UserError(f"{path}: not an artifact, but holds {len(inside)}: {names}")
        n_parts = len(Artifact(path, "").parts)
        if n_parts:
            there = "1 part is" if n_parts == 1 else f"{n_parts:,} parts are"
            raise UserError(f"{path}: unfinished, {there} there; what makes it goes on when run again")
        raise UserError(f"{path}: not an artifact (no {MANIFEST} in it)")
    return Artifact.open(path)


class _Dumper(yaml.SafeDumper):
    """A mapping's entries a line each, a list in one line."""


_Dumper.add_representer(list, lambda dumper, value: dumper.represent_sequence(LIST_TAG, value, flow_style=True))


def _yaml(value: Any) -> Text:
    text = yaml.dump(_shortened(value), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return Text(text.removesuffix("\n...\n").strip() if value != {} else "none")


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shortened(v) for name, v in value.items()}
    if isinstance(value, list) and len(value) > LONGEST_LIST:
        return [*map(_shortened, value[:LONGEST_LIST]), f"… {len(value):,} in all"]
    if isinstance(value, list):
        return [*map(_shortened, value)]
    return value


def _first_errors(errors: pa.Table) -> list[Text]:
    lines = [
        Text(f"{row['item']}: {row['reason']}", no_wrap=True, overflow="ellipsis")
        for row in errors.slice(0, FIRST_ERRORS).to_pylist()
    ]
    more = errors.num_rows - len(lines)
    return [*lines, Text(f"… and {more:,} more in {ERRORS}", "dim")] if more else lines


def _origin(tree: Tree, artifact: Artifact, seen: set[str]) -> Tree:
    """Add the artifact's inputs and theirs, as far as their manifests are still there."""
    for name, source in artifact.manifest["inputs"].items():
        recorded = Path(source["path"])
        beside = artifact.path.absolute().parent / recorded.name  # a store that was moved as a whole
        here = next((p for p in (recorded, beside) if _is(p, source["key"])), None)
        line = Text.assemble(f"{name}: ", _short(here or recorded), "  ")
        if here is None:
            tree.add(line.append("gone", "red"))
            continue
        found = Artifact.open(here)
        rows = f", {found.manifest['rows']:,} rows" if found.manifest["rows"] else ""
        branch = tree.add(line.append("done", "green").append(rows))
        if found.key not in seen:
            seen.add(found.key)
            _origin(branch, found, seen)
        elif found.manifest["inputs"]:
            branch.add(Text("as above", "dim"))
    return tree


def _is(path: Path, key: str) -> bool:
    return (path / MANIFEST).is_file() and Artifact.open(path).key == key


def _short(path: Path) -> str:
    """Relative to this directory where that is shorter to read."""
    here = Path.cwd()
    path = path.absolute()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _files(artifact: Artifact) -> Table:
    """Parts as one line, whatever else there is by name, and folders with what they hold together."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    parts = artifact.parts
    if parts:
        name = parts[0].name if len(parts) == 1 else f"{parts[0].name} … {parts[-1].name}"
        table.add_row(name, decimal(sum(p.stat().st_size for p in parts)), "")
    others = sorted(p for p in artifact.path.iterdir() if p not in parts and not p.name.startswith("."))
    for path in others[:MANY_FILES]:
        if path.is_dir():
            files = [p for p in path.rglob("*") if p.is_file()]
            table.add_row(f"{path.name}/", decimal(sum(p.stat().st_size for p in files)), f"{len(files):,} files")
        else:
            table.add_row(path.name, decimal(path.stat().st_size), "")
    if len(others) > MANY_FILES:
        table.add_row(f"… and {len(others) - MANY_FILES:,} more", "", "")
    return table


def _head(part: Path, n: int) -> pa.Table:
    """The first ``n`` rows of a part, reading no more of it than needed."""
    if part.suffix == ".arrow":
        return read_part(part).slice(0, n)
    return pa.Table.from_batches([next(pq.ParquetFile(part).iter_batches(batch_size=n))])


def _rows(rows: pa.Table) -> Table:
    """One line a row; text and lists give way where the terminal is narrow."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for field in rows.schema:
        number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        table.add_column(Text(field.name), justify="right" if number else "left", no_wrap=number)
    for row in zip(*(column.to_pylist() for column in rows.columns), strict=True):
        table.add_row(*(Text(_cell(value), no_wrap=True, overflow="ellipsis") for value in row))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return "·"
    if isinstance(value, bytes):
        return f"<{decimal(len(value))}>"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.1f}"
    if isinstance(value, list):
        if len(value) > LONGEST_LIST:
            return f"[{', '.join(map(_cell, value[:3]))}, … {len(value):,}]"
        return f"[{', '.join(map(_cell, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k}: {_cell(v)}' for k, v in value.items())}}}"
    return " ".join(str(value).split())


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
