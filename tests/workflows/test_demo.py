"""The demo, smaller: from drawn videos by the real small BERT to the table and what it is worth."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import Artifact
from tests.runs import DEADLINE_S, ROOT
from workflows import demo, kitchen

SMALLER = (
    "kitchen.train=3",
    "kitchen.dev=1",
    "kitchen.test=1",
    "kitchen.scenes=2",
    "codebook.min_points=4",
    "train.steps=2",
    "train.global_batch_size=4",
)


@pytest.mark.slow
def test_the_demo_ends_with_scores_and_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline", "run", "demo", "--store", str(tmp_path), "--workers", "1"]
    command += [word for field in SMALLER for word in ("--set", field)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr
    assert "zero-shot, per cent right: now let me show you how to {verb} the {object}" in done.stderr
    assert "VideoBERT, with video" in done.stderr
    assert "S3D features from RANDOM weights" in done.stderr
    (scores,) = tmp_path.glob("ZeroShot-*")
    assert {row["pairs"] for row in Artifact.open(scores).manifest["scores"]} == {"all", "unseen"}
    (evaluated,) = tmp_path.glob("Evaluate-*")
    assert Artifact.open(evaluated).manifest["metrics"]


def test_the_benchmark_is_the_demo_at_its_size() -> None:
    small, large = demo.graph(), kitchen.graph()
    assert list(small) == list(large)
    assert [node.inputs for node in small.values()] == [node.inputs for node in large.values()]
    assert large["kitchen"].stage == kitchen.RenderKitchen()
    assert large["zero_shot"].stage.task == large["train"].stage.task == kitchen.TASK
