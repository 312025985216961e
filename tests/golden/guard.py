"""The guard of ``version``: what a stage writes on its case changes only when the stage's version does.

``outputs.json`` holds for every case of tests/cases.py the stage, its version, a digest of what it wrote, where the
case has a tolerance a few figures of each float column instead of its bits, and the numbers that the stage put into
its manifest. Contents are compared and not files, which change with the library that writes them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from safetensors.torch import load_file

from pipeline import Artifact, Stage
from pipeline.show import STANDARD
from pipeline.store import ERRORS, MANIFEST, part_rows
from tests.cases import Case

OUTPUTS = Path(__file__).with_name("outputs.json")
UPDATE = "pytest tests/golden --update-golden"


def describe(case: Case, stage: Stage, artifact: Artifact) -> dict[str, Any]:
    """The entry of a case: parts by column, safetensors by tensor, films by what they show, other files by bytes."""
    digest = hashlib.sha256()
    floats: dict[str, list[float]] = {}
    for name, values in _contents(artifact):
        if any(fnmatch(name, pattern) for pattern in case.leave_out):
            continue
        if isinstance(values, np.ndarray) and case.tolerance:
            digest.update(f"{name} {values.shape}".encode())
            floats[name] = _figures(values)
        else:
            digest.update(f"{name} {values.tolist() if isinstance(values, np.ndarray) else values!r}".encode())
    extra = {name: value for name, value in artifact.manifest.items() if name not in STANDARD}
    told = {n: v for n, v in _numbers("manifest", extra) if not any(fnmatch(n, pattern) for pattern in case.leave_out)}
    return {
        "stage": type(stage).__name__,
        "version": stage.version,
        "digest": digest.hexdigest(),
        "floats": floats,
        **({"manifest": told} if told else {}),
    }


def difference(case: Case, known: dict[str, Any], now: dict[str, Any]) -> str | None:
    """What of the content differs, or None."""
    if known["digest"] != now["digest"] or known["floats"].keys() != now["floats"].keys():
        return "its digest"
    for name, figures in now["floats"].items():
        size = max(known["floats"][name][1], 1e-30)
        if not np.allclose(figures, known["floats"][name], rtol=0, atol=case.tolerance * size):
            return f"{name}: {figures} instead of {known['floats'][name]}"
    before, told = (entry.get("manifest", {}) for entry in (known, now))
    for name in before.keys() | told.keys():
        values = [np.nan if (v := entry.get(name)) is None else v for entry in (before, told)]
        if not np.isclose(*values, rtol=max(case.tolerance, 1e-9), atol=case.tolerance):
            return f"{name}: {told.get(name)} instead of {before.get(name)}"
    return None


def check(case: Case, known: dict[str, Any] | None, now: dict[str, Any], update: bool) -> bool:
    """Whether ``now`` is to be written into outputs.json. AssertionError where code and version disagree."""
    if known is None or known["stage"] != now["stage"] or known["version"] != now["version"]:
        assert update, f"{case.name}: new, or its version was raised; run `{UPDATE}`"
        return True
    changed = difference(case, known, now)
    assert changed is None, (
        f"{now['stage']} writes something else than it did, but its version is still {now['version']} ({changed}). "
        f"If that is meant, raise `version` in the class, then run `{UPDATE}`"
    )
    return False


def load() -> dict[str, Any]:
    outputs: dict[str, Any] = json.loads(OUTPUTS.read_text()) if OUTPUTS.is_file() else {}
    return outputs


def save(outputs: dict[str, Any]) -> None:
    OUTPUTS.write_text(json.dumps(dict(sorted(outputs.items())), indent=1) + "\n")


def _contents(artifact: Artifact) -> Iterator[tuple[str, Any]]:
    """Names and values, floats as arrays."""
    if artifact.parts:
        table = artifact.read()
        yield "rows by part", [part_rows(p) for p in artifact.parts]
        for name in table.column_names:
            yield from _column(name, table[name].combine_chunks())
    if (rejected := artifact.errors()) is not None:
        yield "errors", rejected["item"].to_pylist()
    for path in sorted(artifact.path.rglob("*")):
        name = path.relative_to(artifact.path).as_posix()
        if path.suffix == ".safetensors":
            for tensor, values in sorted(load_file(path).items()):
                plain = values.float().numpy() if values.is_floating_point() else values.tolist()
                yield f"{name} {tensor} {values.dtype}", plain
        elif path.suffix == ".parquet" and path not in artifact.parts and path.name != ERRORS:
            table = pq.read_table(path)
            for column in table.column_names:
                yield from _column(f"{path.stem} {column}", table[column].combine_chunks())
        elif path.suffix == ".mp4":
            yield f"{name} pictures", _pictures(path)
        elif path.is_file() and path.suffix not in (".parquet", ".arrow") and path.name != MANIFEST:
            yield name, hashlib.sha256(path.read_bytes()).hexdigest()


def _pictures(path: Path) -> np.ndarray:
    """A film's frames in squares of 40 pixels: one encoder's bits are another's, what is seen is not."""
    with av.open(str(path)) as container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    n, height, width, colours = frames.shape
    return frames.reshape(n, height // 40, 40, width // 40, 40, colours).mean((2, 4))


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    """Every number in a manifest with the way to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(f"{name}.{key}", inner)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _numbers(f"{name}.{i}", inner)
    elif isinstance(value, int | float):
        yield name, value


def _column(name: str, column: pa.Array) -> Iterator[tuple[str, Any]]:
    yield f"{name} type", str(column.type)
    is_list = pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)
    flat = column.flatten() if is_list else column
    if pa.types.is_floating(flat.type) and not flat.null_count and not column.null_count:
        if is_list:
            yield f"{name} lengths", pc.list_value_length(column).to_pylist()
        yield name, flat.to_numpy(zero_copy_only=False)
    else:
        yield name, column.to_pylist()


def _figures(values: np.ndarray) -> list[float]:
    """Mean, root mean square and a projection that notices an exchange of values."""
    flat = values.astype(np.float64).ravel()
    if flat.size == 0:
        return [0.0, 0.0, 0.0]
    wave = np.cos(np.arange(flat.size))
    return [float(flat.mean()), float(np.sqrt((flat**2).mean())), float((flat * wave).mean())]
