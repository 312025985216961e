from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AlbertForPreTraining,
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertForPreTraining,
    BertModel,
    PreTrainedModel,
)

from models.encoder import TaskModel
from models.tasks import Batch, MaskedLM
from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.load_encoder import LoadEncoder
from tests.models.small_encoders import save_encoder, save_tokenizer


def load(source: Path, out: Path, **fields: object) -> Artifact:
    artifact = Artifact(out, "encoder")
    make(LoadEncoder(encoder=str(source), **fields), {}, artifact, LocalExecutor())
    return artifact


@pytest.mark.parametrize("kind", ["bert", "distilbert", "electra"])
def test_weights_and_words_come_as_they_are(kind: str, tmp_path: Path) -> None:
    save_encoder(tmp_path / "source", kind)
    out = load(tmp_path / "source", tmp_path / "out").path
    before, after = (load_file(folder / "model.safetensors") for folder in (tmp_path / "source", out))
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() for name in before)
    old, new = (AutoTokenizer.from_pretrained(folder) for folder in (tmp_path / "source", out))
    assert new("Stir the soup")["input_ids"] == old("Stir the soup")["input_ids"]
    assert AutoConfig.from_pretrained(out).model_type == kind


def test_what_a_sentence_encoder_cuts_and_pads_is_not_kept(tmp_path: Path) -> None:
    save_encoder(tmp_path / "source")
    state = json.loads((tmp_path / "source" / "tokenizer.json").read_text())
    state["truncation"] = {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    state["padding"] = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_id": 0, "pad_type_id": 0}
    state["padding"] |= {"pad_token": "[PAD]", "pad_to_multiple_of": None}
    (tmp_path / "source" / "tokenizer.json").write_text(json.dumps(state))
    out = load(tmp_path / "source", tmp_path / "out").path
    written = json.loads((out / "tokenizer.json").read_text())
    assert written["truncation"] is None
    assert written["padding"] is None


def test_a_missing_pooler_stays_missing_and_a_missing_layer_is_refused(tmp_path: Path) -> None:
    save_tokenizer(tmp_path / "source")
    config = BertConfig(vocab_size=98, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    BertModel(config).save_pretrained(tmp_path / "source")
    file = tmp_path / "source" / "model.safetensors"
    tensors = load_file(file)
    save_file({n: t for n, t in tensors.items() if "pooler" not in n}, file, {"format": "pt"})
    out = load(tmp_path / "source", tmp_path / "out").path
    assert load_file(out / "model.safetensors").keys() == {n for n in tensors if "pooler" not in n}
    save_file({n: t for n, t in tensors.items() if "query" not in n}, file, {"format": "pt"})
    with pytest.raises(UserError, match="its weights lack 2 tensors of a BertModel"):
        load(tmp_path / "source", tmp_path / "other")


@pytest.mark.parametrize("kind", [BertForPreTraining, AlbertForPreTraining])
def test_the_pooler_comes_with_an_encoder_whose_class_leaves_it_out(
    kind: type[PreTrainedModel], tmp_path: Path
) -> None:
    """As bert-base-uncased's does: its configuration names BertForMaskedLM."""
    save_tokenizer(tmp_path / "source")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    pretrained = kind(kind.config_class(vocab_size=98, **sizes))
    pretrained.save_pretrained(tmp_path / "source")
    config = json.loads((tmp_path / "source" / "config.json").read_text())
    config["architectures"] = [kind.__name__.replace("PreTraining", "MaskedLM")]
    (tmp_path / "source" / "config.json").write_text(json.dumps(config))
    out = load(tmp_path / "source", tmp_path / "out").path
    before, after = (AutoModel.from_pretrained(folder).state_dict() for folder in (tmp_path / "source", out))
    assert any(name.startswith("pooler.") for name in after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    started = TaskModel.start(out, MaskedLM(), seed=5)
    assert all(torch.equal(before[name], tensor) for name, tensor in started.encoder.state_dict().items())
    ids = torch.tensor([[2, 9, 3]])
    assert started(Batch(ids, torch.ones_like(ids), torch.zeros_like(ids))).pooled_BD is not None
    torch.nn.init.zeros_(next(p for n, p in started.encoder.named_parameters() if "pooler" in n))
    started.save(tmp_path / "trained")
    AutoTokenizer.from_pretrained(out).save_pretrained(tmp_path / "trained")
    again = load(tmp_path / "trained", tmp_path / "again").path
    assert not next(t for n, t in AutoModel.from_pretrained(again).state_dict().items() if "pooler" in n).any()


def test_random_weights_are_the_seeds(tmp_path: Path) -> None:
    save_encoder(tmp_path / "source")
    models = [
        AutoModel.from_pretrained(load(tmp_path / "source", tmp_path / str(i), weights="random", seed=seed).path)
        for i, seed in enumerate((0, 0, 1))
    ]
    same, again, other = (m.get_input_embeddings().weight for m in models)
    assert (same == again).all()
    assert (same != other).any()
    assert torch.std(same).item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize(
    ("name", "message"),
    [("none/where/it/is", "no such directory"), ("/nowhere", "no such directory"), ("empty", "not an encoder's")],
)
def test_where_there_is_no_encoder(name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=message):
        LoadEncoder(encoder=name).key({})


def test_damaged_weights_are_said(tmp_path: Path) -> None:
    save_encoder(tmp_path / "source")
    (tmp_path / "source" / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(UserError, match="damaged"):
        load(tmp_path / "source", tmp_path / "out")
