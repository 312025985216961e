"""A few rendered videos with all that people have beside theirs, and the command that makes a VideoBERT of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import Artifact, LocalExecutor
from pipeline.graph import make
from stages.video.render_kitchen import RenderKitchen
from tests.models.small_encoders import save_encoder

Command = Callable[..., list[str]]


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """``command(store, *options)``: arguments of ``python`` for a small run of the workflow videobert."""
    folder = tmp_path_factory.mktemp("world")
    kitchen = Artifact(folder / "kitchen", "kitchen")
    make(RenderKitchen(train=2, dev=1, test=1, scenes=1, held_out=0), {}, kitchen, LocalExecutor())
    videos = kitchen.path / "videos"
    videos.joinpath("broken.mp4").write_bytes(b"no video")
    (folder / "texts.txt").write_text("stir the soup\nnow cut the soup\ncut the soup\ncut the cafe\n")
    save_encoder(folder / "encoder")
    given = {
        "videos": videos,
        "labels": kitchen.path / "labels.csv",
        "texts": folder / "texts.txt",
        "split_file": kitchen.path / "split.csv",
        "weights": "random:0",
        "encoder": folder / "encoder",
        "epochs": 8,
    }
    arguments = [text for name, value in given.items() for text in (f"--{name}", str(value))]

    def build(store: Path, *options: str) -> list[str]:
        fields = [
            "train.checkpoint_every=1",
            "codebook.min_points=4",
            "train.precision=float32",
            "texts.dev_fraction=0.5",
        ]
        sets = [text for field in fields for text in ("--set", field)]
        return ["-m", "pipeline", "run", "videobert", *arguments, "--store", str(store), *sets, *options]

    return build


@pytest.fixture(scope="session")
def untouched(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a run that nothing disturbed, with one worker process."""
    import subprocess
    import sys

    from tests.runs import DEADLINE_S, ROOT

    store = tmp_path_factory.mktemp("untouched")
    done = subprocess.run(
        [sys.executable, *command(store, "--workers", "1")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr
    (store / "said.txt").write_text(done.stderr)
    return store
