"""Rows of a matrix, in blocks of float32."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.points import BLOCK, CHUNK, Points
from tests.models.clouds import cloud


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("listed", [False, True])
def test_blocks_of_all_chunks_are_the_rows_in_order(dtype: torch.dtype, listed: bool) -> None:
    n = CHUNK + 2 * BLOCK + 3
    vectors = torch.from_numpy(cloud(n + 5)).to(dtype)
    rows = torch.randperm(n + 5, generator=torch.Generator().manual_seed(0))[:n] if listed else None
    points = Points(vectors if listed else vectors[:n], rows)
    expected = (vectors[rows] if rows is not None else vectors[:n]).float()
    found = [block.clone() for start in points.chunks for block in points.blocks(start)]
    assert len(points) == n
    assert max(len(block) for block in found) == BLOCK
    assert torch.equal(torch.cat(found), expected)
    assert torch.equal(points[10:20], expected[10:20])
    np.testing.assert_allclose(points.mean(), expected.double().mean(0), rtol=1e-5, atol=1e-6)
