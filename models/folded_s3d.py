"""S3D for inference: torchvision's parameters, arranged so that a CPU or GPU computes the features fast.

Against torchvision's layers: batch norms are folded into the convolutions; every separable convolution is a 2-D one
over images or over time x place, its rectifier fused into it; the 1x1x1 convolutions that open an inception block are
one; activations lie channels last; max pooling is ``models.max_pool``'s; and matrix products run in bfloat16 where
the machine has units for it. The average pool is in float32.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.max_pool import max_pool_rectified
from models.s3d import MEAN, STD, Colour

STEM_BLOCK = 8
"""Frames of the stem's output that a CPU computes at a time: their activations stay below the 32 MB above which the C
library gives freed memory back to the system. Getting it anew was 12,000 page faults and a sixth of a clip's time."""


class FoldedS3D:
    """S3D's features. Shapes: N clips, T frames, H x W pixels, C channels."""

    def __init__(
        self, network: nn.Module, device: torch.device, dtype: torch.dtype, mean: Colour = MEAN, std: Colour = STD
    ) -> None:
        """network: torchvision's S3D, left as it is; dtype: of weights and activations, float32 or bfloat16; mean and
        std: what the network's pictures are normalised with."""
        layers = [_fold(layer, device, dtype) for layer in cast(Any, network).features]
        space, time = layers[0]
        self._stem_space, self._stem_time, self._stem_pool = space, time, layers[1]
        self._layers = [step for layer in layers[2:] for step in (layer if isinstance(layer, tuple) else (layer,))]
        self._scale = (1 / (255 * torch.tensor(std))).to(device, dtype)
        self._shift = (-torch.tensor(mean) / torch.tensor(std)).to(device, dtype)
        self.device, self.dtype = device, dtype

    @torch.inference_mode()
    def __call__(self, frames: Tensor) -> Tensor:
        """frames, shape = (N, T, H, W, 3), uint8, T >= 14, H and W >= 224; returns (N, 1024) float32 on the CPU."""
        x_NTHWC = self._stem(frames.to(self.device, non_blocking=True))
        for layer in self._layers:
            x_NTHWC = layer(x_NTHWC)
        pooled = F.avg_pool3d(x_NTHWC.float().permute(0, 4, 1, 2, 3), kernel_size=(2, 7, 7), stride=1)
        return pooled.mean((2, 3, 4)).cpu()

    def _stem(self, frames: Tensor) -> Tensor:
        """The first separable convolution and its pool; its seven taps in time have a stride of two."""
        n_frames = frames.shape[1]
        n_out = (n_frames + 1) // 2
        size = STEM_BLOCK if self.device.type == "cpu" else n_out
        blocks = []
        for start in range(0, n_out, size):
            end = min(start + size, n_out)
            first, behind = max(0, 2 * start - 4), min(n_frames, 2 * end + 2)
            x = self._stem_space(self._normalise(frames[:, first:behind]))
            x = self._stem_time(x)[:, start - first // 2 : end - first // 2]
            blocks.append(self._stem_pool(x))
        return torch.cat(blocks, 1)

    def _normalise(self, frames: Tensor) -> Tensor:
        # A row of pixels at a time: broadcasting over three channels alone is four times slower.
        rows = frames.reshape(*frames.shape[:-2], -1).to(self.dtype)
        scale, shift = (v.repeat(frames.shape[-2]) for v in (self._scale, self._shift))
        return torch.addcmul(shift, rows, scale).view(frames.shape)


class _Convolution:
    """A convolution over space (1 x k x k) or over time (k x 1 x 1), its batch norm folded in, and a rectifier."""

    def __init__(self, weight: Tensor, bias: Tensor, stride: tuple[int, ...], padding: tuple[int, ...]) -> None:
        """weight, shape = (C out, C in, kT, kH, kW); stride and padding along T, H, W."""
        self.over_time = weight.shape[2] > 1
        self.weight = weight[..., 0] if self.over_time else weight[:, :, 0]
        self.weight = self.weight.contiguous(memory_format=torch.channels_last)
        self.bias = bias
        self.stride, self.padding = (v[:2] if self.over_time else v[1:] for v in (stride, padding))
        self.fused = weight.device.type == "cpu" and hasattr(torch.ops.mkldnn, "_convolution_pointwise")

    def __call__(self, x_NTHWC: Tensor) -> Tensor:
        N, T, H, W, C = x_NTHWC.shape
        shape = (N, T, H * W, C) if self.over_time else (N * T, H, W, C)
        x = x_NTHWC.reshape(shape).permute(0, 3, 1, 2)
        if self.fused:
            y: Tensor = torch.ops.mkldnn._convolution_pointwise(
                x, self.weight, self.bias, self.padding, self.stride, (1, 1), 1, "relu", [], ""
            )
        else:
            y = F.conv2d(x, self.weight, self.bias, self.stride, self.padding).relu_()
        y = y.permute(0, 2, 3, 1)
        return y.reshape(N, -1, H, W, y.shape[-1]) if self.over_time else y.reshape(N, T, *y.shape[1:])


class _Pool:
    def __init__(self, pool: Any) -> None:
        self.window = [v if isinstance(v, tuple) else (v,) * 3 for v in (pool.kernel_size, pool.stride, pool.padding)]

    def __call__(self, x_NTHWC: Tensor) -> Tensor:
        return max_pool_rectified(x_NTHWC, *self.window)


class _Inception:
    """The four branches of a block (figure 4 of the paper, separable as in its figure 7)."""

    def __init__(self, block: Any, device: torch.device, dtype: torch.dtype) -> None:
        openings = [_folded(b, device, dtype) for b in (block.branch0, block.branch1[0], block.branch2[0])]
        self._widths = [len(bias) for _, bias in openings]
        weight, bias = (torch.cat(tensors) for tensors in zip(*openings, strict=True))
        self._open = _Convolution(weight, bias, stride=(1, 1, 1), padding=(0, 0, 0))
        self._branch1 = _fold(block.branch1[1], device, dtype)
        self._branch2 = _fold(block.branch2[1], device, dtype)
        self._pool, self._branch3 = (_fold(b, device, dtype) for b in block.branch3)

    def __call__(self, x_NTHWC: Tensor) -> Tensor:
        x0, x1, x2 = torch.split(self._open(x_NTHWC), self._widths, dim=-1)
        for convolution in self._branch1:
            x1 = convolution(x1)
        for convolution in self._branch2:
            x2 = convolution(x2)
        return torch.cat((x0, x1, x2, self._branch3(self._pool(x_NTHWC))), dim=-1)


def _fold(layer: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """The fast counterpart of one of torchvision's layers; a pair for a separable convolution."""
    from torchvision.models.video.s3d import SepInceptionBlock3D, TemporalSeparableConv

    if isinstance(layer, nn.MaxPool3d):
        return _Pool(layer)
    if isinstance(layer, SepInceptionBlock3D):
        return _Inception(layer, device, dtype)
    if isinstance(layer, TemporalSeparableConv):
        return tuple(_fold(part, device, dtype) for part in layer)
    convolution = layer[0]
    return _Convolution(*_folded(layer, device, dtype), convolution.stride, convolution.padding)


def _folded(layer: Any, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution and the batch norm behind it, as one convolution's."""
    convolution, norm = layer[0], layer[1]
    factor = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    weight = convolution.weight.double() * factor.view(-1, 1, 1, 1, 1)
    bias = norm.bias.double() - norm.running_mean.double() * factor
    return weight.to(device, dtype), bias.to(device, dtype)
