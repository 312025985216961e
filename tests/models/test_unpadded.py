"""An encoder on words alone against the same on the padded batch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from models.encoder import Encoded, TaskModel
from models.tasks import VideoText
from models.tasks.task import Batch
from models.unpadded import Layout, allow, allowed
from tests.models.small_encoders import PIECES, save_encoder

LENGTHS = (3, 9, 1, 5)


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    mask = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
    ids = torch.randint(5, len(PIECES), mask.shape, generator=generator) * mask
    return Batch(ids, mask, torch.randint(2, mask.shape, generator=generator) * mask)


def start(folder: Path, kind: str, **fields: bool) -> TaskModel:
    save_encoder(folder, kind)
    task = VideoText()
    for name, value in fields.items():
        object.__setattr__(task, name, value)
    return TaskModel.start(folder, task, seed=0)


def padded(model: TaskModel, of: Batch) -> Encoded:
    """With an implementation of attention that does not look at a layout."""
    model.pretrained.set_attn_implementation("eager")
    try:
        return model(of)
    finally:
        allow(model.pretrained)


@pytest.mark.parametrize("kind", ["bert", "electra"])
def test_states_and_gradients_are_those_of_the_padded_batch(kind: str, tmp_path: Path) -> None:
    model = start(tmp_path, kind, all_layers=True).eval()
    assert allowed(model.pretrained)
    words = batch().attention_mask_BL.bool()
    one, other = model(batch()), padded(model, batch())
    assert torch.allclose(one.last_BLD[words], other.last_BLD[words], atol=1e-5)
    assert not one.last_BLD[~words].any()
    assert len(one.layers) == len(other.layers) == 3
    for a, b in zip(one.layers, other.layers, strict=True):
        assert torch.allclose(a[words], b[words], atol=1e-5)
    gradients = []
    for encoded in (one, other):
        model.zero_grad()
        (encoded.last_BLD[words] ** 3).sum().backward()
        gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], rtol=1e-3, atol=1e-5), name


def test_attention_drops_as_often_and_keeps_its_mean(tmp_path: Path) -> None:
    model = start(tmp_path, "bert").train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    words = batch().attention_mask_BL.bool()
    still = model(batch()).last_BLD[words]
    assert torch.allclose(still, padded(model, batch()).last_BLD[words], atol=1e-5)
    for layer in model.encoder.encoder.layer:
        layer.attention.self.dropout.p = 0.2
    torch.manual_seed(0)
    runs = torch.stack([model(batch()).last_BLD[words].detach() for _ in range(200)])
    assert runs.std(0).mean() > 1e-3
    assert torch.allclose(runs.mean(0), still, atol=0.1)


def test_the_pooler_reads_each_sequences_first_word(tmp_path: Path) -> None:
    save_encoder(tmp_path)
    task = VideoText()
    object.__setattr__(task, "masked_lm", False)
    model = TaskModel.start(tmp_path, task, seed=0).eval()
    one, other = model(batch()).pooled_BD, padded(model, batch()).pooled_BD
    assert one is not None
    assert other is not None
    assert torch.allclose(one, other, atol=1e-6)


def test_others_keep_their_padding(tmp_path: Path) -> None:
    model = start(tmp_path, "distilbert").eval()
    assert not allowed(model.pretrained)
    assert model(batch()).last_BLD.shape == (4, 9, 16)


def test_a_saved_model_says_nothing_of_it(tmp_path: Path) -> None:
    model = start(tmp_path / "source", "bert").eval()
    model.save(tmp_path / "saved")
    assert "unpadded" not in json.dumps(json.loads((tmp_path / "saved" / "config.json").read_text()))
    again = AutoModel.from_pretrained(tmp_path / "saved").eval()
    of = batch()
    out = again(input_ids=of.input_ids_BL, attention_mask=of.attention_mask_BL, token_type_ids=of.token_type_ids_BL)
    words = of.attention_mask_BL.bool()
    assert torch.allclose(out.last_hidden_state[words], model(of).last_BLD[words], atol=1e-5)


def test_the_encoder_still_takes_padded_batches_itself(tmp_path: Path) -> None:
    """Stages call it directly; its mask is not lost."""
    model, of = start(tmp_path, "bert").eval(), batch()
    with torch.no_grad():
        whole = model.encoder(input_ids=of.input_ids_BL, attention_mask=of.attention_mask_BL).last_hidden_state
        alone = model.encoder(input_ids=of.input_ids_BL[:1, :3]).last_hidden_state
    assert torch.allclose(whole[0, :3], alone[0], atol=1e-5)


def test_layout_by_hand() -> None:
    """The shorter sequence comes first."""
    layout = Layout.of(torch.tensor([[1, 1, 0], [1, 0, 0]]), 2)
    assert layout.place_T.tolist() == [3, 0, 1]
    assert layout.row == 64
    assert layout.positions()[0, :5].tolist() == [0, 0, 1, 0, 0]
    assert layout.words(torch.tensor([[7, 8, 0], [9, 0, 0]]))[0, :5].tolist() == [9, 7, 8, 0, 0]
    rows = torch.full((64, 1), 9.0)
    rows[:3, 0] = torch.tensor([1.0, 2.0, 3.0])
    rows.requires_grad_()
    spread = layout.spread(rows)
    assert spread.flatten().tolist() == [2, 3, 0, 1, 0, 0]
    (spread.flatten() * torch.arange(6.0)).sum().backward()
    assert rows.grad is not None
    assert rows.grad.flatten().tolist() == [3, 0, 1, *[0] * 61]


def test_rows_of_many_batches_have_few_lengths() -> None:
    lengths = {Layout.of(torch.ones(1, n), 2).row for n in range(1, 242)}
    assert lengths == {64, 128, 192, 256}
