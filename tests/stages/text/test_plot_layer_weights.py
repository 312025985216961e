from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from models.encoder import TaskModel
from models.tasks import VideoText
from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.text.plot_layer_weights import PICTURE, PlotLayerWeights
from tests.models.small_encoders import save_encoder
from tests.stages.text.small_parser import small_parser


def test_weights_of_every_task_as_a_table_and_a_picture(tmp_path: Path) -> None:
    out = Artifact(tmp_path / "out", "out")
    make(PlotLayerWeights(), {"model": small_parser(tmp_path)}, out, LocalExecutor())
    weights = {(r["task"], r["layer"]): pytest.approx(r["weight"]) for r in out.read().to_pylist()}
    assert weights == {
        ("upos", 1): 0.25,
        ("upos", 2): 0.75,
        **{(task, layer): 0.5 for task in ("feats", "lemmas", "dependencies") for layer in (1, 2)},
    }
    with Image.open(out.path / PICTURE) as picture:
        assert picture.width > picture.height > 300


def test_a_model_of_another_task_is_refused(tmp_path: Path) -> None:
    save_encoder(tmp_path / "encoder")
    TaskModel.start(tmp_path / "encoder", VideoText(), seed=0).save(tmp_path / "model")
    out = Artifact(tmp_path / "out", "out")
    with pytest.raises(UserError, match="not a dependency parser"):
        make(PlotLayerWeights(), {"model": Artifact(tmp_path / "model", "m")}, out, LocalExecutor())
