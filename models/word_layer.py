"""The output layer of a masked language model, on the few positions where words are to be predicted.

Shape suffixes: n positions, D the encoder's width, V words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedModel

from models.extended_encoder import SECOND_MATRIX
from models.vocabulary import Vocabulary

CHUNK = 1 << 24
"""Logits that are made in float32 at a time."""
TOP = 5
"""Likeliest words that are told of a mask."""


def transform_of(model: PreTrainedModel) -> Callable[[Tensor], Tensor]:
    """From hidden states to what the matrix of words is multiplied with. ValueError for a model of another kind."""
    m: Any = model
    transforms: dict[str, Callable[[Tensor], Tensor]] = {
        "cls": lambda h: m.cls.predictions.transform(h),  # BERT, DeBERTa
        "lm_head": lambda h: m.lm_head.layer_norm(F.gelu(m.lm_head.dense(h))),  # RoBERTa, MPNet
        "generator_predictions": lambda h: m.generator_predictions(h),  # ELECTRA
        "vocab_transform": lambda h: m.vocab_layer_norm(m.activation(m.vocab_transform(h))),  # DistilBERT
        "predictions": lambda h: m.predictions.LayerNorm(m.predictions.activation(m.predictions.dense(h))),  # ALBERT
        "head": lambda h: m.head(h),  # ModernBERT
    }
    found = [transform for layer, transform in transforms.items() if hasattr(m, layer)]
    kind = model.config.model_type
    if not found or kind in SECOND_MATRIX:
        raise ValueError(f"the output layer of a {kind} is not known here, give a BERT, RoBERTa, ELECTRA or ALBERT")
    return found[0]


def check_predicts_words(directory: Path) -> None:
    """ValueError where the model of ``directory`` is of a kind whose output layer for words is not known here."""
    config = AutoConfig.from_pretrained(str(directory))
    with torch.device("meta"):  # its layers without their weights
        transform_of(AutoModelForMaskedLM.from_config(config))  # type: ignore[no-untyped-call]


class WordLayer:
    """A BERT's or its kin's."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model: Any = model
        self._states = transform_of(model)

    def logits(self, hidden_nD: Tensor) -> Tensor:
        """[n, V], of any leading dimensions."""
        logits: Tensor = self.model.get_output_embeddings()(self._states(hidden_nD))
        return logits.float()

    def log_p(self, hidden_nD: Tensor, target_n: Tensor) -> Tensor:
        """The targets' log-probabilities [n], for training: of the size of logits only one tensor is ever held."""
        output = self.model.get_output_embeddings()
        log_p_n: Tensor = _LogProbability.apply(self._states(hidden_nD), output.weight, output.bias, target_n)  # type: ignore[no-untyped-call]
        return log_p_n

    def scored(self, hidden_nD: Tensor, target_n: Tensor) -> tuple[Tensor, Tensor]:
        """The targets' log-probabilities [n], and whether each is the likeliest word [n]; no gradients."""
        log_p_n = torch.zeros_like(target_n, dtype=torch.float32)
        best_n = torch.zeros_like(target_n)
        with torch.no_grad():
            for mine in _chunks(len(target_n), self.model.get_output_embeddings().weight):
                logits = self.logits(hidden_nD[mine])
                log_p_n[mine] = -F.cross_entropy(logits, target_n[mine], reduction="none")
                best_n[mine] = logits.argmax(-1)
        return log_p_n, best_n == target_n

    def likeliest(self, hidden_nD: Tensor, vocabulary: Vocabulary) -> list[list[dict[str, Any]]]:
        """For each position the likeliest words with their probabilities, to be read."""
        found: list[list[dict[str, Any]]] = []
        for mine in _chunks(len(hidden_nD), self.model.get_output_embeddings().weight):
            top = self.logits(hidden_nD[mine]).softmax(-1).topk(TOP)
            for words, ps in zip(top.indices.tolist(), top.values.tolist(), strict=True):
                pairs = zip(words, ps, strict=True)
                found.append([{"word": vocabulary.word(w), "probability": round(p, 4)} for w, p in pairs])
        return found


def _chunks(n: int, weight_VD: Tensor) -> Iterator[slice]:
    """Of n positions as many at a time as make ``CHUNK`` logits."""
    rows = max(1, CHUNK // len(weight_VD))
    yield from (slice(start, start + rows) for start in range(0, n, rows))


class _LogProbability(torch.autograd.Function):
    """Matrix product, softmax and the choice of the targets in one.

    One after another they would hold logits, their float32 copy, the logarithms and a gradient of each: several times
    what all of a small BERT's layers hold. Here the probabilities take the place of the logits and, in the backward
    pass, the gradient that of the probabilities.
    """

    @staticmethod
    def forward(ctx: Any, states_nD: Tensor, weight_VD: Tensor, bias_V: Tensor, target_n: Tensor) -> Tensor:
        device = states_nD.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states_nD.dtype
        ctx.device, ctx.dtypes = device, (states_nD.dtype, weight_VD.dtype)
        with torch.autocast(device, enabled=False):
            states_nD, weight_VD = states_nD.to(dtype), weight_VD.to(dtype)
            p_nV = states_nD.new_empty(len(states_nD), len(weight_VD))
            log_p_n = torch.empty(len(states_nD), device=states_nD.device)
            for mine in _chunks(len(states_nD), weight_VD):
                logits = torch.addmm(bias_V.to(dtype), states_nD[mine], weight_VD.T).float()
                log_p = logits.log_softmax(-1)
                log_p_n[mine] = log_p.gather(1, target_n[mine, None])[:, 0]
                p_nV[mine] = log_p.exp_()
        ctx.save_for_backward(states_nD, weight_VD, target_n, log_p_n)
        ctx.p_nV = p_nV
        return log_p_n

    @staticmethod
    def backward(ctx: Any, gradient_n: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        states_nD, weight_VD, target_n, log_p_n = ctx.saved_tensors
        gradient_nV, ctx.p_nV = ctx.p_nV, None
        with torch.autocast(ctx.device, enabled=False):
            gradient_nV.mul_(-gradient_n[:, None].to(gradient_nV.dtype))
            at_target = gradient_n * -log_p_n.expm1()  # 1 - p, before it is rounded
            gradient_nV.scatter_(1, target_n[:, None], at_target[:, None].to(gradient_nV.dtype))
            of_states, of_weight = ctx.dtypes
            learns = ctx.needs_input_grad
            return (
                (gradient_nV @ weight_VD).to(of_states) if learns[0] else None,
                (gradient_nV.T @ states_nD).to(of_weight) if learns[1] else None,
                gradient_nV.sum(0, dtype=of_weight) if learns[2] else None,
                None,
            )
