from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.text.start_word_encoder import StartWordEncoder
from tests.models.small_encoders import PIECES
from tests.stages.text.small_rewriters import encoder


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return encoder(tmp_path_factory.mktemp("bert"))


def start(stage: StartWordEncoder, bert: Artifact, out: Path) -> AutoModel:
    make(stage, {"model": bert}, Artifact(out, "start"), LocalExecutor())
    assert len(AutoTokenizer.from_pretrained(out)) == len(PIECES)
    return AutoModel.from_pretrained(out)


def test_it_knows_the_other_encoders_words(bert: Artifact, tmp_path: Path) -> None:
    cnn = start(StartWordEncoder(width=10), bert, tmp_path / "cnn")
    assert cnn.words.weight.shape == (len(PIECES), 10)
    assert [f.weight.shape for f in cnn.filters] == [(4, 10, 3), (3, 10, 4), (3, 10, 5)]
    rnn = start(StartWordEncoder(kind="rnn", width=10, words="encoder"), bert, tmp_path / "rnn")
    theirs = AutoModel.from_pretrained(bert.path).get_input_embeddings().weight
    assert rnn.words.weight.std().item() == pytest.approx(0.1, rel=1e-3)
    torch.testing.assert_close(rnn.words.weight * (theirs.std() / 0.1), theirs - theirs.mean(0), atol=1e-3, rtol=0.1)


def test_the_seed_makes_the_weights(bert: Artifact, tmp_path: Path) -> None:
    files = []
    for i, seed in enumerate((0, 0, 1)):
        start(StartWordEncoder(seed=seed, width=10), bert, tmp_path / str(i))
        files.append((tmp_path / str(i) / "model.safetensors").read_bytes())
    assert files[0] == files[1] != files[2]


def test_fields_out_of_range_are_refused() -> None:
    for fields in ({"width": 2}, {"dropout": 1.0}):
        with pytest.raises(UserError):
            StartWordEncoder(**fields)
