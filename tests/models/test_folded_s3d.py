from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.folded_s3d import FoldedS3D
from models.s3d import load_s3d, plain_features
from tests.stages.video.films import scene

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """Random parameters, with batch norms that do something, as after training."""
    network = load_s3d("random:0")
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.weight.uniform_(0.5, 1.5, generator=generator)
            module.bias.normal_(0, 0.2, generator=generator)
            module.running_mean.normal_(0, 0.2, generator=generator)  # type: ignore[union-attr, operator]
            module.running_var.uniform_(0.5, 2, generator=generator)  # type: ignore[union-attr, operator]
    return network


@pytest.fixture(scope="module")
def clips() -> Tensor:
    """Things that move, and noise."""
    noise = np.random.default_rng(0).integers(0, 256, (2, 30, 224, 224, 3), np.uint8)
    return torch.from_numpy(np.concatenate([np.stack([scene(seed) for seed in range(6)]), noise]))


@pytest.fixture(scope="module")
def plain(network: nn.Module, clips: Tensor) -> Tensor:
    return torch.cat([plain_features(network, clip[None]) for clip in clips])


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """Of each clip, with the mean of all removed: features of any clips have most of themselves in common."""
    return torch.cosine_similarity(a - a.mean(0), b - b.mean(0), dim=1)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "least"), [(torch.float32, 0.999999), (torch.bfloat16, 0.99)])
def test_features_point_where_the_plain_ones_do(
    network: nn.Module, clips: Tensor, plain: Tensor, dtype: torch.dtype, least: float
) -> None:
    folded = FoldedS3D(network, CPU, dtype)
    features = torch.cat([folded(clip[None]) for clip in clips])
    assert cosines(features, plain).min() >= least
    if dtype == torch.bfloat16:
        assert cosines(features.half().float(), features).min() > cosines(features, plain).max()


@pytest.mark.parametrize(("n_frames", "side"), [(14, 224), (17, 256), (36, 224)])
def test_folding_changes_nothing_but_rounding(network: nn.Module, n_frames: int, side: int) -> None:
    clip = torch.from_numpy(np.stack(scene(0, n_frames, side, side)))[None]
    expected = plain_features(network, clip)
    assert torch.allclose(
        FoldedS3D(network, CPU, torch.float32)(clip), expected, atol=1e-4 * float(expected.abs().max())
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_same_bits_in_any_batch_and_on_any_number_of_threads(network: nn.Module, clips: Tensor, dtype: Any) -> None:
    folded = FoldedS3D(network, CPU, dtype)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = torch.cat([folded(clips[i : i + 1, :14]) for i in range(2)])
        torch.set_num_threads(3)
        assert torch.equal(folded(clips[:2, :14]), alone)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(network: nn.Module, clips: Tensor, plain: Tensor) -> None:
    features = FoldedS3D(network, torch.device("cuda"), torch.bfloat16)(clips)
    assert cosines(features, plain).min() >= 0.99
