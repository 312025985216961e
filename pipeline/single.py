"""One stage outside any workflow: its inputs anywhere, its artifact in a directory of the user's choice."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from pipeline.errors import UserError
from pipeline.executor import Executor
from pipeline.graph import make
from pipeline.progress import say, titled
from pipeline.stage import Stage
from pipeline.store import LEFTOVERS, Artifact, Store, write_atomically

CLAIM = ".key"
"""In a directory that is being written: the key of what it will hold, since its name does not tell."""


def prepare(stage: Stage, directories: Mapping[str, str], out: Path) -> tuple[dict[str, Artifact], Artifact]:
    """The artifacts in ``directories`` (by input name) and the one to be made at ``out``; makes nothing.

    UserError where an input is unknown, missing, unfinished or lacks a column, or where ``out`` holds anything else.
    """
    stage.check_inputs(directories)
    inputs = {name: Artifact.open(Path(directory).absolute()) for name, directory in directories.items()}
    for name, artifact in inputs.items():
        stage.check_columns(name, artifact.schema, directories[name])
    artifact = Artifact(out.absolute(), stage.key({name: a.key for name, a in inputs.items()}))
    _refuse_others(artifact, out)
    Store(out.parent)  # refuses what cannot be a directory
    return inputs, artifact


def make_single(stage: Stage, inputs: Mapping[str, Artifact], artifact: Artifact, executor: Executor) -> None:
    """Make ``artifact`` unless it is there, going on from what an interrupted run left."""
    store = Store(artifact.path.parent)
    store.open()
    with store.lock(artifact, waiting=partial(say, "waiting for another run that makes it")):
        _refuse_others(artifact, artifact.path)
        if artifact.done:
            say(f"done before: {artifact.path}")
            return
        with write_atomically(artifact.path / CLAIM) as temporary:
            temporary.write_text(artifact.key)
        with titled(type(stage).__name__):
            make(stage, inputs, artifact, executor)
        (artifact.path / CLAIM).unlink()
    rows, errors, seconds = (artifact.manifest[k] for k in ("rows", "errors", "seconds"))
    say(f"{type(stage).__name__}: {rows:,} rows, {errors:,} rejected, {seconds:,.1f} s -> {artifact.path}")


def _refuse_others(artifact: Artifact, out: Path) -> None:
    """UserError unless ``artifact.path`` is free, or holds this very artifact, finished or not."""
    path = artifact.path
    if path.exists() and not path.is_dir():
        raise UserError(f"--out {out}: is a file")
    if artifact.done:
        there = Artifact.open(path)
        if there.key != artifact.key:
            raise UserError(
                f"--out {out}: holds another artifact ({there.manifest['stage']} with other fields or inputs); "
                "choose another directory"
            )
    elif (path / CLAIM).is_file():
        if (path / CLAIM).read_text() != artifact.key:
            raise UserError(
                f"--out {out}: holds the unfinished work of other fields or inputs; "
                "remove it or choose another directory"
            )
    elif path.is_dir() and not all(p.match(LEFTOVERS) for p in path.iterdir()):
        raise UserError(f"--out {out}: is not empty and not an artifact; choose another directory")
