"""A workflow as a Ray job, the way the README submits one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from tests.runs import DEADLINE_S, ROOT, files
from tests.workflows.conftest import Command

pytestmark = [pytest.mark.ray, pytest.mark.slow]

LEARNED = ("Train-", "Evaluate-", "ZeroShot-")
"""Of stages whose numbers are sums in another order where a worker has more or fewer threads."""


def test_a_job_writes_what_a_local_run_writes(
    ray_head: tuple[str, dict[str, str]], command: Command, untouched: Path, tmp_path: Path
) -> None:
    """`ray job submit --working-dir .`: the driver attaches to the cluster it is a job of."""
    address, environment = ray_head
    job = ["python", *command(tmp_path, "--executor", "ray", "--workers", "1")]
    submit = ["ray", "job", "submit", "--address", address, "--working-dir", ".", "--", *job]
    done = subprocess.run(submit, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    expected = {name: content for name, content in files(untouched).items() if name != "said.txt"}
    found = files(tmp_path)
    assert found.keys() == expected.keys()
    different = {name for name in expected if found[name] != expected[name]}
    assert {name for name in different if not name.startswith(LEARNED)} == set()
    (weights,) = (name for name in expected if name.startswith("Train-") and name.endswith("model.safetensors"))
    here, there = load(expected[weights]), load(found[weights])
    assert here.keys() == there.keys()
    for name, tensor in here.items():
        torch.testing.assert_close(there[name], tensor, rtol=0, atol=1e-6)
    listing = ["ray", "list", "actors", "--address", address, "--format", "json"]
    actors = json.loads(subprocess.run(listing, env=environment, capture_output=True, text=True, check=True).stdout)
    assert "MapActor" in {actor["class_name"] for actor in actors}, "the actors were this cluster's"
