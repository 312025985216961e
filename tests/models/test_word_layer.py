"""The output layer on some positions against transformers' own on all."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import (
    AlbertForMaskedLM,
    AutoTokenizer,
    CLIPTextConfig,
    MobileBertConfig,
    ModernBertForMaskedLM,
    MPNetForMaskedLM,
    PreTrainedModel,
    RobertaConfig,
)

from models import word_layer
from models.extended_encoder import load_masked_lm
from models.vocabulary import Vocabulary
from models.word_layer import WordLayer, check_predicts_words
from tests.models.small_encoders import PIECES, WIDTH, save_encoder

TARGETS = torch.tensor([7, 3, 7, 50, 0])


KINDS = ("bert", "electra", "distilbert", "mpnet", "albert", "modernbert")


def model_of(kind: str, folder: Path) -> PreTrainedModel:
    others = {"mpnet": MPNetForMaskedLM, "albert": AlbertForMaskedLM, "modernbert": ModernBertForMaskedLM}
    if kind in others:
        torch.manual_seed(7)
        sizes = {"hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
        if kind == "albert":
            sizes["embedding_size"] = WIDTH // 2
        config = others[kind].config_class(vocab_size=len(PIECES), pad_token_id=0, **sizes)
        return others[kind](config).eval()
    save_encoder(folder, kind)
    return load_masked_lm(str(folder))[0].eval()


def states() -> Tensor:
    return torch.randn(len(TARGETS), WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_the_models(kind: str, tmp_path: Path) -> None:
    model = model_of(kind, tmp_path)
    ids = torch.tensor([[2, 30, 31, 3]])
    with torch.no_grad():
        hidden = model.base_model(input_ids=ids).last_hidden_state
        assert torch.allclose(WordLayer(model).logits(hidden[0, 1:3]), model(input_ids=ids).logits[0, 1:3], atol=1e-5)


@pytest.mark.parametrize(
    ("config", "refused"), [(RobertaConfig, None), (MobileBertConfig, "mobilebert"), (CLIPTextConfig, "CLIPTextConfig")]
)
def test_another_kind_is_told_before_training(config: Any, refused: str | None, tmp_path: Path) -> None:
    config().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=refused) if refused else nullcontext():
        check_predicts_words(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk", [1, 200, 1 << 24])
def test_probabilities_and_gradients_are_those_of_the_softmax(
    kind: str, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_layer, "CHUNK", chunk)
    model = model_of(kind, tmp_path)
    layer = WordLayer(model)
    weights = torch.tensor([1.0, -0.5, 2.0, 0.0, 3.0])
    results = []
    for log_p_of in (
        lambda x: layer.log_p(x, TARGETS),
        lambda x: -F.cross_entropy(layer.logits(x), TARGETS, reduction="none"),
    ):
        model.zero_grad()
        hidden = states().requires_grad_()
        log_p = log_p_of(hidden)
        (log_p * weights).sum().backward()
        gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        results.append((log_p.detach(), hidden.grad, gradients))
    (log_p, at_states, at_model), (log_p_, at_states_, at_model_) = results
    assert torch.allclose(log_p, log_p_, atol=1e-5)
    assert torch.allclose(at_states, at_states_, atol=1e-5)
    assert at_model.keys() == at_model_.keys()
    for name, gradient in at_model.items():
        assert torch.allclose(gradient, at_model_[name], atol=1e-5), name


def test_under_autocast_the_product_is_in_bf16_and_the_softmax_is_not(tmp_path: Path) -> None:
    model = model_of("bert", tmp_path)
    exact = WordLayer(model).log_p(states(), TARGETS)
    exact.sum().backward()
    expected = model.get_input_embeddings().weight.grad.clone()
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        log_p = WordLayer(model).log_p(states(), TARGETS)
    log_p.sum().backward()
    assert log_p.dtype == torch.float32
    assert torch.allclose(log_p, exact, atol=0.1)
    gradient = model.get_input_embeddings().weight.grad
    assert F.cosine_similarity(gradient.flatten(), expected.flatten(), dim=0) > 0.999


def test_a_frozen_matrix_has_no_gradient(tmp_path: Path) -> None:
    model = model_of("bert", tmp_path)
    table = model.get_input_embeddings().weight.requires_grad_(requires_grad=False)
    WordLayer(model).log_p(states(), TARGETS).sum().backward()
    assert table.grad is None
    assert model.cls.predictions.transform.dense.weight.grad is not None


def test_scores_tell_the_likeliest_word(tmp_path: Path) -> None:
    layer = WordLayer(model_of("bert", tmp_path))
    best = layer.logits(states()).argmax(-1)
    log_p, right = layer.scored(states(), best)
    assert right.all()
    assert torch.allclose(log_p, layer.log_p(states(), best), atol=1e-5)
    assert not layer.scored(states(), (best + 1) % len(PIECES))[1].any()
    vocabulary = Vocabulary.of(AutoTokenizer.from_pretrained(str(tmp_path)))
    likeliest = layer.likeliest(states(), vocabulary)
    assert [words[0]["word"] for words in likeliest] == [PIECES[i] for i in best.tolist()]
    assert all(len(words) == 5 and words[0]["probability"] >= words[4]["probability"] for words in likeliest)
    assert layer.likeliest(states()[:0], vocabulary) == []
