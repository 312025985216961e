from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from models.tasks import VideoText
from pipeline import Artifact, LocalExecutor
from pipeline.graph import make
from stages.encode import Encode
from stages.evaluate import Evaluate
from stages.train import Train
from tests.stages.tiny_world import extended_bert, segments

TASK = VideoText()
TRAIN = Train(task=TASK, steps=30, global_batch_size=16, learning_rate=3e-3, precision="float32", evaluate_every=30)
VIDEOS = 30


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return extended_bert(tmp_path_factory.mktemp("start"))


def encoded(start: Artifact, folder: Path, parts: int) -> Artifact:
    out = Artifact(folder / "examples", "examples")
    rows = segments(folder / "rows", VIDEOS, parts)
    make(Encode(task=TASK), {"rows": rows, "model": start}, out, LocalExecutor())
    assert len(out.parts) == parts
    return out


@pytest.fixture(scope="module")
def inputs(start: Artifact, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """Trained on examples with one video a part, as they are of up to 127 videos."""
    folder = tmp_path_factory.mktemp("trained")
    examples = encoded(start, folder, VIDEOS)
    model = Artifact(folder / "model", "model")
    make(TRAIN, {"model": start, "examples": examples}, model, LocalExecutor())
    return {"model": model, "examples": examples}


def figures(inputs: Mapping[str, Artifact], out: Path, task: VideoText = TASK, workers: int = 1) -> Artifact:
    artifact = Artifact(out, "figures")
    make(Evaluate(task=task, split="dev"), inputs, artifact, LocalExecutor(workers=workers))
    return artifact


def counts(artifact: Artifact) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in map(json.loads, artifact.read()["result"].to_pylist()):
        found[row["term"]] = found.get(row["term"], 0) + row["n"]
    return found


def test_the_figures_are_those_of_train_s_last_evaluation(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    evaluated = figures(inputs, tmp_path, workers=2)
    trained = inputs["model"].manifest["metrics"]
    assert evaluated.manifest["metrics"].keys() == trained.keys()
    assert "joint/alignment_accuracy" in trained
    assert evaluated.manifest["metrics"] == pytest.approx(trained, rel=0.02)
    assert not list(tmp_path.glob("*.positions"))


def test_what_is_drawn_does_not_depend_on_the_parts(
    start: Artifact, inputs: dict[str, Artifact], tmp_path: Path
) -> None:
    """Negatives are from the whole split, and no part repeats another's random numbers."""
    whole = {**inputs, "examples": encoded(start, tmp_path / "whole", 1)}
    many, one = figures(inputs, tmp_path / "many"), figures(whole, tmp_path / "one")
    assert counts(many) == counts(one)
    assert many.manifest["metrics"] == pytest.approx(one.manifest["metrics"], rel=1e-3)


def test_regimes_without_weight_are_left_out(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    found = counts(figures(inputs, tmp_path, VideoText(text_weight=0, video_weight=0)))
    assert found["joint/alignment"] == inputs["examples"].read()["split"].to_pylist().count("dev")
    assert {name for name, n in found.items() if n} == {"joint/alignment", "joint/word", "joint/visual"}
