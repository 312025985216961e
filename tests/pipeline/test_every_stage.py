"""Every stage on every executor: in this process, in worker processes, on Ray."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from pipeline import Artifact, LocalExecutor
from pipeline.graph import make
from pipeline.store import MANIFEST
from tests.cases import CASES, Case


@pytest.mark.parametrize("case", [c for c in CASES if not c.trains], ids=lambda case: case.name)
def test_a_path_may_be_spelled_in_any_way(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absolute, relative, or with the slash that a shell leaves behind a folder, it is one artifact."""
    stage, inputs = case.build(tmp_path / "inputs")
    keys = {name: artifact.key for name, artifact in inputs.items()}
    monkeypatch.chdir(tmp_path)
    for field in dataclasses.fields(stage):
        value = getattr(stage, field.name)
        if isinstance(value, str) and str(tmp_path) in value:
            for spelled in (value.replace(f"{tmp_path}/", ""), value.replace(f"{tmp_path}/", "./")):
                for slash in ("", "/")[: 1 + Path(value).is_dir()]:
                    assert dataclasses.replace(stage, **{field.name: spelled + slash}).key(keys) == stage.key(keys)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As the workers of these executors have."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.ray
@pytest.mark.slow
def test_training_on_two_ray_workers_learns_what_one_process_does(ray_cluster: None, tmp_path: Path) -> None:
    from pipeline import RayExecutor

    stage, inputs = next(c for c in CASES if c.name == "train").build(tmp_path / "inputs")
    losses = []
    for name, executor in (("here", LocalExecutor()), ("ray", RayExecutor(train_workers=2))):
        with executor:
            make(stage, inputs, Artifact(tmp_path / name, "key"), executor)
        table = pq.read_table(tmp_path / name / "loss.parquet")
        losses.append(table.sort_by([(column, "ascending") for column in ("step", "split", "name")]))
    here, ray = losses
    assert here.drop_columns("value") == ray.drop_columns("value")
    np.testing.assert_allclose(ray["value"].to_numpy(), here["value"].to_numpy(), rtol=1e-3)


@pytest.mark.parametrize("where", ["processes", pytest.param("ray", marks=pytest.mark.ray)])
@pytest.mark.parametrize("case", [c for c in CASES if c.name != "train"], ids=lambda case: case.name)
def test_every_stage_writes_the_same_bytes(
    case: Case, where: str, tmp_path: Path, request: pytest.FixtureRequest, one_thread: None
) -> None:
    stage, inputs = case.build(tmp_path / "inputs")
    written: list[dict[str, bytes]] = []
    for name, executor in (("here", LocalExecutor()), (where, request.getfixturevalue(where))):
        out = tmp_path / name
        make(stage, inputs, Artifact(out, "key"), executor)
        written.append(
            {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != MANIFEST}
        )
    assert written[0].keys() == written[1].keys()
    assert [n for n in written[0] if written[0][n] != written[1][n]] == []
