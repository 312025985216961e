"""What a token means, and which one a vector gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.codebook import FILE, Codebook, Grouped, token_path
from tests.models.clouds import cloud, squared_distances


def grid() -> Codebook:
    """On a line, three nodes at 0, 100 and 200, each with leaves 10 below, at and 10 above; 2.2 is dead."""
    nodes = np.array([[0.0], [100.0], [200.0]], np.float32)
    leaves = np.concatenate([node + np.array([[-10.0], [0.0], [10.0]], np.float32) for node in nodes])
    leaves[8] = 200.0
    counts = np.array([1, 2, 3, 4, 5, 6, 7, 8, 0])
    return Codebook((nodes, leaves), (counts.reshape(3, 3).sum(1), counts), (75.0, 5.0))


def test_a_tokens_digits_are_its_path() -> None:
    assert token_path(5323) == (3, 0, 11, 7)
    assert 3 * 12**3 + 0 * 12**2 + 11 * 12 + 7 == 5323
    assert token_path(0) == (0, 0, 0, 0)
    assert token_path(12**4 - 1) == (11, 11, 11, 11)
    assert token_path(5, branching=2, depth=3) == (1, 0, 1)


def test_every_token_has_a_path_of_its_own() -> None:
    assert len({token_path(token) for token in range(12**4)}) == 12**4


@pytest.mark.parametrize("token", [-1, 12**4])
def test_other_numbers_are_no_tokens(token: int) -> None:
    with pytest.raises(ValueError, match=r"is no token of a codebook of 12\^4 leaves"):
        token_path(token)


def test_a_tree_is_descended_and_a_flat_search_is_not() -> None:
    # 52 is nearer to node 1 (100) than to node 0 (0), and then nearest to 1.0 (90); of all leaves 0.2 (10) is farther
    vectors = np.array([[-30.0], [3.0], [7.0], [52.0], [98.0], [194.0], [300.0]], np.float16)
    assert grid().assign_tree(vectors).tolist() == [0, 1, 2, 3, 4, 6, 7]
    vectors = np.array([[49.0], [51.0], [149.0]], np.float16)
    assert grid().assign_tree(vectors).tolist() == [2, 3, 5]
    skewed = Codebook(
        (np.array([[0.0], [100.0]], np.float32), np.array([[-90.0], [60.0], [90.0], [110.0]], np.float32)),
        (np.array([2, 2]), np.ones(4, np.int64)),
        (0.0, 0.0),
    )
    assert skewed.assign_tree(np.array([[55.0]], np.float16)).tolist() == [2]
    assert skewed.assign_flat(np.array([[55.0]], np.float16)).tolist() == [1]


def test_dead_leaves_are_never_given() -> None:
    vectors = np.array([[200.0], [210.0], [1000.0]], np.float16)
    assert grid().assign_tree(vectors).tolist() == [7, 7, 7]
    assert grid().assign_flat(vectors).tolist() == [7, 7, 7]
    assert grid().dead.tolist() == [False] * 8 + [True]
    assert grid().leaves()[8] == 200.0


@pytest.mark.parametrize("mean", [0.0, 30.0])
def test_flat_is_brute_force(mean: float) -> None:
    vectors = cloud(500, width=64, noise=1.0, mean=mean)
    leaves = cloud(144, width=64, seed=0, noise=0.3, mean=mean).astype(np.float32)
    counts = np.ones(144, np.int64)
    counts[50:60] = 0
    codebook = Codebook((leaves[::12], leaves), (counts.reshape(12, 12).sum(1), counts), (0.0, 0.0))
    distances = squared_distances(vectors, leaves)
    distances[:, counts == 0] = np.inf
    tokens = codebook.assign_flat(vectors)
    assert tokens.dtype == np.uint16
    np.testing.assert_array_equal(tokens, distances.argmin(1))


def test_no_vectors_get_no_tokens() -> None:
    none = np.empty((0, 1), np.float16)
    assert grid().assign_tree(none).shape == (0,)
    assert grid().assign_flat(none).shape == (0,)


def test_saved_is_loaded_and_bytes_are_the_same(tmp_path: Path) -> None:
    grid().save(tmp_path / FILE)
    loaded = Codebook.load(tmp_path)
    assert (loaded.branching, loaded.depth, loaded.width) == (3, 2, 1)
    assert loaded.errors == (75.0, 5.0)
    for ours, theirs in zip((*grid().centroids, *grid().counts), (*loaded.centroids, *loaded.counts), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / FILE).read_bytes()


def test_groups_list_rows_by_node_and_in_order() -> None:
    vectors = torch.arange(6.0)[:, None]
    tree = Grouped.all(vectors).split([np.array([1, 0, 1, 2, 1, 0], np.uint8)], 3)
    assert tree.counts.tolist() == [2, 3, 1]
    assert [(node, points[:].flatten().tolist()) for node, points in tree.nodes()] == [
        (0, [1, 5]),
        (1, [0, 2, 4]),
        (2, [3]),
    ]
    tree = tree.split([np.array([2, 2]), np.array([0, 1, 0]), np.array([0])], 3)
    assert tree.codes().tolist() == [3, 2, 4, 6, 3, 2]
    assert tree.counts.tolist() == [0, 0, 2, 2, 1, 0, 1, 0, 0]
