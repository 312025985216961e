"""A pretrained BERT whose embedding and output layer know visual words too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from models.quiet import quiet_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

VisualRows = Literal["paper", "centred"]

DEAD_BIAS = -100.0
"""Output bias of leaves that no clip belongs to. Their rows copy a live ancestor's, so without it they would share the
live words' probability, for good where the embeddings are frozen."""
SECOND_MATRIX = ("mobilebert",)
"""Kinds whose output layer has a second matrix beside the embedding."""
MOST_PADDING = 1024
"""More rows than this beyond the tokenizer's words are words that a wrong or missing tokenizer does not know."""
POOLER = "pooler."
"""What the names of a layer above [CLS] begin with, which encoders trained without next sentences lack; tasks that use
it train it."""
LIFT = 3.0
"""Brings hidden states, which a layer norm keeps small, onto the straight part of GELU and its kin."""


def load_masked_lm(encoder: str, revision: str = "main") -> tuple[PreTrainedModel, bool]:
    """The encoder of a directory or of the hub in float32, with the output layer that predicts masked words.

    An encoder that was saved without one gets an output layer that is ready to learn (``_start_output_layer``), and
    True is returned beside it. ValueError where weights are missing, damaged or of other shapes; OSError and ValueError
    of transformers.
    """
    from transformers import AutoModelForMaskedLM

    quiet_transformers()
    model: PreTrainedModel
    with torch.random.fork_rng(devices=[]):  # what is missing is drawn, and replaced below
        try:
            model, report = AutoModelForMaskedLM.from_pretrained(
                encoder, revision=revision, dtype=torch.float32, output_loading_info=True
            )
        except (RuntimeError, SafetensorError) as error:
            raise ValueError(f"its weights are damaged or do not fit its config.json ({error})") from error
    missing = sorted(report["missing_keys"])
    lacking = [name for name in missing if name.startswith(f"{model.base_model_prefix}.")]
    if lacking:
        raise ValueError(
            f"its weights lack {len(lacking)} tensors of a {type(model).__name__}, {lacking[0]} among them"
        )
    _start_output_layer(model, missing)
    return model, bool(missing)


def give_pooler(model: PreTrainedModel, encoder: str, revision: str = "main") -> set[str]:
    """The pooler to a model whose class leaves it out, as BertForMaskedLM does.

    Returns which of the pooler's tensors the checkpoint lacks: they are drawn from the global generator.
    """
    from transformers import AutoModel

    base, prefix = model.base_model, model.base_model_prefix
    if getattr(base, "pooler", base) is not None:  # it has one, or is of a kind without
        return set()
    whole, report = AutoModel.from_pretrained(encoder, revision=revision, dtype=torch.float32, output_loading_info=True)
    for name in ("pooler", "pooler_activation"):  # the second is ALBERT's
        if hasattr(base, name):
            setattr(base, name, getattr(whole, name))
    return {f"{prefix}.{name}" for name in report["missing_keys"] if name.startswith(POOLER)}


@torch.no_grad()
def _start_output_layer(model: PreTrainedModel, missing: list[str]) -> None:
    """Let an output layer that the checkpoint lacks begin as the dot products of hidden states and embeddings.

    Dense layer, activation and layer norm stand before the tied output matrix. The dense layer starts as the identity
    plus a constant that lifts its input above the activation's bend, and the layer norm takes the constant off again.
    A small BERT on cooking speech had 6 % of the masked words right at once and 30 % after 100 steps of training; with
    random weights none and 23 %.
    """
    output = _output_layer(model)
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and module is not output and f"{name}.weight" in missing:
            nn.init.eye_(module.weight)
            if module.bias is not None:
                nn.init.constant_(module.bias, LIFT)


@torch.no_grad()
def extend_model(model: PreTrainedModel, n_text: int, join_row: Tensor, visual_rows: Tensor, dead: Tensor) -> None:
    """Give ``model``, in place, the rows of ``[>]`` and of the visual words after its ``n_text`` text rows.

    Rows that pad the matrix beyond the tokenizer's words belong to no word and are replaced.

    join_row     shape = (width,)
    visual_rows  shape = (leaves, width)
    dead         shape = (leaves,), bool
    """
    rows, output, kind = embedding_rows(model), _output_layer(model), model.config.model_type
    if not n_text <= len(rows) <= n_text + MOST_PADDING:
        raise ValueError(
            f"its tokenizer has {n_text} words and its embedding {len(rows)} rows: they do not belong together"
        )
    tied = output is not None and output.weight is rows and output.bias is not None
    if not tied or kind in SECOND_MATRIX:
        raise ValueError(f"this {kind} does not predict words by its embedding and a bias alone, as BERT does")
    with torch.random.fork_rng(devices=[]):  # the new rows are drawn, and replaced below
        model.resize_token_embeddings(n_text + 1 + len(visual_rows), mean_resizing=False)
    output = _output_layer(model)
    weight, bias = output.weight, output.bias
    weight[n_text] = join_row
    weight[n_text + 1 :] = visual_rows
    bias[n_text:] = 0.0
    bias[n_text + 1 :][dead] = DEAD_BIAS


def embedding_rows(model: PreTrainedModel) -> nn.Parameter:
    """The embedding matrix, shape = (rows, width)."""
    embedding: Any = model.get_input_embeddings()
    rows: nn.Parameter = embedding.weight
    return rows


def _output_layer(model: PreTrainedModel) -> Any:
    """The matrix, shape = (words, width), and bias that make logits; None where the model has no such layer."""
    return model.get_output_embeddings()  # type: ignore[no-untyped-call]


def rows_from_centroids(
    centroids: Tensor, dead: Tensor, text_rows: Tensor, seed: int, rows: VisualRows = "paper"
) -> Tensor:
    """Embedding rows of visual words, shape = (leaves, width), from their centroids.

    "paper": the centroids as they are where the widths match. Otherwise, and always for "centred": the live leaves'
    mean is taken off, since features of video share one that is much larger than what sets them apart; a random
    matrix brings the rest to the encoder's width, where it differs; and each row gets the text rows' mean norm.

    centroids    shape = (leaves, feature width)
    dead         shape = (leaves,), bool: leaves without clips
    text_rows    shape = (words, width)
    """
    width = text_rows.shape[1]
    same_width = centroids.shape[1] == width
    if rows == "paper" and same_width:
        return centroids.clone()
    vectors = centroids.double()
    vectors = vectors - vectors[~dead].mean(0)
    if not same_width:
        generator = torch.Generator().manual_seed(seed)
        projection = torch.randn(centroids.shape[1], width, generator=generator, dtype=torch.float64)
        vectors = vectors @ projection
    norms = vectors.norm(dim=1, keepdim=True)
    norm = text_rows.double().norm(dim=1).mean()
    return (vectors * torch.where(norms > 0, norm / norms, 0.0)).float()
