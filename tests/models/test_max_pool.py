from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from models.max_pool import max_pool_rectified

WINDOWS = [
    ((1, 3, 3), (1, 2, 2), (0, 1, 1)),
    ((3, 3, 3), (1, 1, 1), (1, 1, 1)),
    ((3, 3, 3), (2, 2, 2), (1, 1, 1)),
    ((2, 2, 2), (2, 2, 2), (0, 0, 0)),
]
"""All that S3D has: kernel, stride, padding."""


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shape", [(1, 4, 6, 8), (2, 5, 7, 9), (1, 2, 3, 2)])
def test_exactly_torchs(shape: tuple[int, ...], window: tuple[tuple[int, ...], ...], dtype: torch.dtype) -> None:
    x_NTHWC = torch.randn(*shape, 16, generator=torch.Generator().manual_seed(0)).relu().to(dtype)
    expected = F.max_pool3d(x_NTHWC.permute(0, 4, 1, 2, 3).contiguous(), *window).permute(0, 2, 3, 4, 1)
    assert torch.equal(max_pool_rectified(x_NTHWC, *window), expected)
