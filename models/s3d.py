"""S3D: torchvision's network, its weights, and the plain way to compute features with it.

Xie et al., *Rethinking Spatiotemporal Feature Learning*, arXiv 1712.04851. ``models.folded_s3d`` computes the same
features much faster.
"""

from __future__ import annotations

import hashlib
import math
import pickle
from pathlib import Path
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn

FEATURE_WIDTH = 1024
MIN_FRAMES = 14
MIN_SIDE = 224
KINETICS = "kinetics400"
Colour: TypeAlias = tuple[float, float, float]
"""Of red, green and blue, where 1 is full brightness."""
MEAN: Colour = (0.43216, 0.394666, 0.37645)
"""Over Kinetics: what torchvision's weights were trained with."""
STD: Colour = (0.22803, 0.22145, 0.216989)


def load_s3d(weights: str) -> nn.Module:
    """torchvision's S3D in float32, ready for inference.

    weights   "kinetics400" (torchvision's; downloaded once), the path of a state dict (.pth or .safetensors, with or
              without the classifier), or "random:SEED"
    Raises OSError where a file or the network is missing and ValueError where the content is wrong, both in one line.
    """
    from torchvision.models.video import s3d

    seed = seed_of(weights)
    with torch.random.fork_rng(devices=[]):  # the constructor draws from the global generator
        torch.manual_seed(seed or 0)
        network = cast(nn.Module, s3d())
    if seed is not None:
        _keep_size(network)
    else:
        state = _download() if weights == KINETICS else _read(Path(weights))
        wanted = {n: v for n, v in network.state_dict().items() if not n.startswith("classifier.")}
        for name, value in wanted.items():
            if name not in state and not name.endswith("num_batches_tracked"):
                raise ValueError(f"{weights}: not a state dict of torchvision's S3D (it lacks {name})")
            if name in state and state[name].shape != value.shape:
                raise ValueError(
                    f"{weights}: {name} has shape {tuple(state[name].shape)}, but S3D's has {tuple(value.shape)}"
                )
        network.load_state_dict({n: v for n, v in state.items() if n in wanted}, strict=False)
    return network.eval().requires_grad_(False)


def seed_of(weights: str) -> int | None:
    """The seed of "random:SEED", None for other weights; ValueError where SEED is no number."""
    kind, colon, seed = weights.partition(":")
    if kind != "random" or not colon:
        return None
    if not seed.isascii() or not seed.isdigit() or int(seed) >= 2**63:
        raise ValueError(f"weights: random:SEED takes a whole number, such as random:0, not '{weights}'")
    return int(seed)


def parameters_digest(network: nn.Module) -> str:
    """SHA-256 over everything the features depend on: names, shapes and values, but for the classifier."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        if not name.startswith("classifier.") and not name.endswith("num_batches_tracked"):
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
            digest.update(value.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()


@torch.inference_mode()
def plain_features(network: nn.Module, frames: Tensor, mean: Colour = MEAN, std: Colour = STD) -> Tensor:
    """The features by torchvision's own layers in float32: the reference for everything faster.

    frames, shape = (N, T, H, W, 3), uint8, T >= 14, H and W >= 224
    Returns (N, 1024) float32: what the classifier reads, averaged over time as its outputs are.
    """
    rgb = (frames.float() / 255 - torch.tensor(mean)) / torch.tensor(std)
    layers = cast(Any, network)
    pooled: Tensor = layers.avgpool(layers.features(rgb.permute(0, 4, 1, 2, 3)))
    return pooled.mean((2, 3, 4))


def _keep_size(network: nn.Module) -> None:
    """Undo that torchvision's initialisation shrinks activations from layer to layer.

    It draws weights of variance 1 / (3 fan in), where rectifiers need 2 / (fan in) (He et al., arXiv 1502.01852), so
    the features come out at 1e-7, below what float16 can hold. Here every convolution of the stem and the first of
    every branch is scaled up to that: the features are torchvision's times one factor, about 0.1 in size.
    """
    from torchvision.models.video.s3d import SepInceptionBlock3D

    for layer in cast(Any, network).features:
        if isinstance(layer, SepInceptionBlock3D):
            firsts = [layer.branch0[0], layer.branch1[0][0], layer.branch2[0][0], layer.branch3[1][0]]
        else:
            firsts = [m for m in layer.modules() if isinstance(m, nn.Conv3d)]
        for convolution in firsts:
            convolution.weight.data *= math.sqrt(6)


def _download() -> dict[str, Tensor]:
    from torchvision.models.video import S3D_Weights

    weights = S3D_Weights.KINETICS400_V1
    try:
        return cast(dict[str, Tensor], weights.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise OSError(
            f"S3D's {KINETICS} weights cannot be downloaded from {weights.url} ({reason}): put that file into "
            f"{Path(torch.hub.get_dir()) / 'checkpoints'}, give the path of a copy as weights, or take random:0"
        ) from None


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file (weights are {KINETICS}, a path or random:SEED)")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        safe = path.suffix == ".safetensors"
        state = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ValueError(f"{path}: not a state dict ({' '.join(str(error).split())[:200]})") from None
    if not isinstance(state, dict):
        raise ValueError(f"{path}: not a state dict but a {type(state).__name__}")
    return cast(dict[str, Tensor], state)
