"""New rows for visual words, old rows untouched, one output layer for both."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForMaskedLM, BertConfig, MobileBertConfig, MobileBertForMaskedLM

from models.extended_encoder import DEAD_BIAS, embedding_rows, extend_model, load_masked_lm, rows_from_centroids
from tests.models.small_encoders import PIECES, WIDTH, save_encoder, save_model

N_TEXT = len(PIECES)
LEAVES = 9


def centroids(width: int = WIDTH) -> Tensor:
    """As features of video are: a large common mean, small differences."""
    generator = torch.Generator().manual_seed(3)
    return 5 + 0.1 * torch.randn(LEAVES, width, generator=generator)


def dead() -> Tensor:
    return torch.arange(LEAVES) >= 6


# ------------------------------------------------------------------------------------------------ rows


def test_centroids_of_the_encoders_width_are_the_rows() -> None:
    text = torch.randn(50, WIDTH)
    assert torch.equal(rows_from_centroids(centroids(), dead(), text, seed=0), centroids())


@pytest.mark.parametrize(("width", "rows"), [(40, "paper"), (8, "paper"), (40, "centred"), (WIDTH, "centred")])
def test_other_rows_are_as_long_as_text_rows_and_apart(width: int, rows: str) -> None:
    text = torch.randn(50, WIDTH)
    made = rows_from_centroids(centroids(width), dead(), text, seed=0, rows=rows)
    assert made.shape == (LEAVES, WIDTH)
    assert torch.allclose(made.norm(dim=1), text.norm(dim=1).mean().expand(LEAVES), rtol=1e-5)
    cosines = torch.nn.functional.cosine_similarity(made[:, None], made[None], dim=-1)
    assert cosines.fill_diagonal_(0).max() < 0.95
    raw = torch.nn.functional.cosine_similarity(centroids()[:, None], centroids()[None], dim=-1)
    assert raw.min() > 0.99


def test_centring_alone_keeps_directions_from_the_live_mean() -> None:
    made = rows_from_centroids(centroids(), dead(), torch.randn(50, WIDTH), seed=0, rows="centred")
    expected = centroids() - centroids()[:6].mean(0)
    assert torch.nn.functional.cosine_similarity(made, expected).min() > 0.9999


def test_projection_depends_on_the_seed_alone() -> None:
    text = torch.randn(50, WIDTH)
    made = [rows_from_centroids(centroids(40), dead(), text, seed) for seed in (1, 1, 2)]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_one_live_leaf_gives_finite_rows() -> None:
    alone = torch.full((4, 40), 2.5)
    made = rows_from_centroids(alone, torch.tensor([False, True, True, True]), torch.randn(5, WIDTH), seed=0)
    assert torch.equal(made, torch.zeros(4, WIDTH))


# ------------------------------------------------------------------------------------------------ encoder


@pytest.mark.parametrize("kind", ["bert", "distilbert", "electra"])
@pytest.mark.parametrize("padding", [0, 3, 40])
def test_text_rows_stay_to_the_bit_and_new_rows_follow(kind: str, padding: int, tmp_path: Path) -> None:
    before = save_encoder(tmp_path, kind, rows=N_TEXT + padding)
    model, started = load_masked_lm(str(tmp_path), "main")
    assert not started
    rows = torch.randn(LEAVES, embedding_rows(before).shape[1])
    extend_model(model, N_TEXT, embedding_rows(before)[3].detach(), rows, dead())
    model.save_pretrained(tmp_path / "out")

    after = AutoModelForMaskedLM.from_pretrained(tmp_path / "out")
    assert after.config.vocab_size == N_TEXT + 1 + LEAVES
    weight = embedding_rows(after)
    assert torch.equal(weight[:N_TEXT], embedding_rows(before)[:N_TEXT])
    assert torch.equal(weight[N_TEXT], embedding_rows(before)[3])
    assert torch.equal(weight[N_TEXT + 1 :], rows)
    output = after.get_output_embeddings()
    assert output.weight is weight
    assert torch.equal(output.bias[:N_TEXT], before.get_output_embeddings().bias[:N_TEXT])
    assert output.bias[N_TEXT:].tolist() == [0] * 7 + [DEAD_BIAS] * 3

    ids = torch.tensor([[2, 50, 51, 52, 3]])
    before.eval()
    with torch.no_grad():
        text_logits, logits = before(ids).logits, after(ids).logits
    assert logits.shape == (1, 5, N_TEXT + 1 + LEAVES)
    assert torch.allclose(logits[..., :N_TEXT], text_logits[..., :N_TEXT], atol=1e-5)


def headless(directory: Path) -> None:
    """What sentence-transformers publish: the encoder without prefix, no output layer."""
    save_encoder(directory, width=64)
    weights = load_file(directory / "model.safetensors")
    bare = {k.removeprefix("bert."): v for k, v in weights.items() if k.startswith("bert.")}
    save_file(bare, directory / "model.safetensors", metadata={"format": "pt"})


def test_an_encoder_without_output_layer_starts_from_its_embedding(tmp_path: Path) -> None:
    headless(tmp_path)
    model, started = load_masked_lm(str(tmp_path), "main")
    assert started
    hidden = torch.nn.functional.layer_norm(torch.randn(100, 64), (64,))
    with torch.no_grad():
        logits = model.cls(hidden)
    expected = hidden @ embedding_rows(model).T
    correlation = torch.corrcoef(torch.stack([logits.flatten(), expected.flatten()]))[0, 1]
    assert correlation > 0.999
    assert torch.equal(model.get_output_embeddings().bias, torch.zeros(N_TEXT))


def test_loading_is_the_same_every_time_and_leaves_the_generator_alone(tmp_path: Path) -> None:
    headless(tmp_path)
    loaded = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        expected = torch.rand(1, generator=torch.Generator().manual_seed(seed))
        loaded.append(load_masked_lm(str(tmp_path), "main")[0].state_dict())
        assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(loaded[0][name], loaded[1][name]) for name in loaded[0])


def test_missing_encoder_weights_are_an_error(tmp_path: Path) -> None:
    save_encoder(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {k: v for k, v in weights.items() if ".layer.1." not in k}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lack 16 tensors of a BertForMaskedLM, bert\.encoder\.layer\.1\."):
        load_masked_lm(str(tmp_path), "main")


def test_weights_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    save_encoder(tmp_path)
    BertConfig(vocab_size=N_TEXT, hidden_size=32, num_attention_heads=2).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"its weights are damaged or do not fit its config\.json"):
        load_masked_lm(str(tmp_path), "main")
    save_encoder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes()[:300])
    with pytest.raises(ValueError, match=r"its weights are damaged or do not fit its config\.json"):
        load_masked_lm(str(tmp_path), "main")


@pytest.mark.parametrize("rows", [N_TEXT - 1, N_TEXT + 1025])
def test_a_tokenizer_of_another_model_is_an_error(rows: int, tmp_path: Path) -> None:
    model = save_model(tmp_path, rows=rows)
    with pytest.raises(
        ValueError, match=f"its tokenizer has {N_TEXT} words and its embedding {rows} rows: they do not"
    ):
        extend_model(model, N_TEXT, torch.zeros(WIDTH), centroids(), dead())


def test_an_output_layer_of_another_kind_is_an_error() -> None:
    config = MobileBertConfig(vocab_size=90, hidden_size=32, embedding_size=16, num_hidden_layers=1)
    model = MobileBertForMaskedLM(config)
    with pytest.raises(ValueError, match="this mobilebert does not predict words by its embedding and a bias alone"):
        extend_model(model, 90, torch.zeros(16), torch.zeros(4, 16), torch.zeros(4, dtype=torch.bool))
