"""AssignTokens: a leaf a clip."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.codebook import Codebook
from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.video.assign_tokens import TOKENS, AssignTokens
from stages.video.feature_table import feature_table
from tests.models.clouds import cloud, squared_distances
from tests.stages.video.some_features import CLIPS, FIT, as_artifact, features, fit

VECTORS = cloud(1200, width=24)


def assign(given: Artifact, codebook: Artifact, out: Path, workers: int = 0, **fields: Any) -> Artifact:
    tokens = Artifact(out, "tokens")
    with LocalExecutor(workers=workers) as executor:
        make(AssignTokens(**fields), {"features": given, "codebook": codebook}, tokens, executor)
    return tokens


def test_a_token_a_clip_as_the_codebook_counted_them(tmp_path: Path) -> None:
    given = features(tmp_path / "features", VECTORS, parts=1)
    codebook = fit(given, tmp_path / "codebook")
    table = assign(given, codebook, tmp_path / "tokens").read()
    assert table.schema.remove_metadata() == TOKENS
    for name in TOKENS.names[:-1]:
        assert table[name].equals(given.read()[name])
    tokens = table["token"].to_numpy()
    np.testing.assert_array_equal(np.bincount(tokens, minlength=256), Codebook.load(codebook.path).counts[-1])


def test_flat_is_the_nearest_of_all_leaves(tmp_path: Path) -> None:
    given = features(tmp_path / "features", VECTORS, parts=1)
    codebook = fit(given, tmp_path / "codebook")
    tokens = assign(given, codebook, tmp_path / "tokens", assign="flat").read()["token"].to_numpy()
    loaded = Codebook.load(codebook.path)
    distances = squared_distances(VECTORS, loaded.leaves())
    distances[:, loaded.dead] = np.inf
    np.testing.assert_array_equal(tokens, distances.argmin(1))
    assert distances.min(1).mean() < loaded.errors[-1]


@pytest.mark.parametrize("way", ["tree", "flat"])
def test_of_unit_length_only_the_direction_counts(way: str, tmp_path: Path) -> None:
    lengths = 2.0 ** np.random.default_rng(0).integers(-1, 3, size=(len(VECTORS), 1))  # no rounding
    found = []
    for name, vectors in (("given", VECTORS), ("longer", VECTORS * lengths)):
        given = features(tmp_path / name, vectors, parts=1)
        codebook = fit(given, tmp_path / f"codebook of {name}", replace(FIT, unit_length=True))
        tokens = assign(given, codebook, tmp_path / f"tokens of {name}", assign=way).read()["token"].to_numpy()
        loaded = Codebook.load(codebook.path)
        directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        errors = np.square(directions - loaded.leaves()[tokens]).sum(1)
        assert errors.mean() == pytest.approx(loaded.errors[-1], rel=0.05)
        found.append(tokens)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("way", ["tree", "flat"])
def test_parts_stay_and_bytes_do_not_depend_on_workers(way: str, tmp_path: Path) -> None:
    given = features(tmp_path / "features", VECTORS)
    codebook = fit(given, tmp_path / "codebook")
    outs = [assign(given, codebook, tmp_path / f"{n}", workers=n, assign=way) for n in (0, 2)]
    assert [p.name for p in outs[0].parts] == [p.name for p in given.parts]
    for one, other in zip(outs[0].parts, outs[1].parts, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_a_clip_without_a_feature_is_an_error_row(tmp_path: Path) -> None:
    given = features(tmp_path / "features", VECTORS[:CLIPS], parts=1)
    codebook = fit(given, tmp_path / "codebook")
    table = given.read()
    lists = table["feature"].to_pylist()
    lists[7][3] = float("nan")
    lists[9] = None
    broken = table.set_column(4, "feature", pa.array(lists, table.schema.field("feature").type))
    out = assign(as_artifact(tmp_path / "broken", [broken], 1), codebook, tmp_path / "tokens")
    assert sorted(set(range(CLIPS)) - set(out.read()["clip"].to_pylist())) == [7, 9]
    errors = out.errors()
    assert errors is not None
    assert errors["item"].to_pylist() == ["v0, clip 7", "v0, clip 9"]
    assert errors["reason"].to_pylist() == ["its feature is missing or not finite"] * 2


def test_features_must_be_as_wide_as_the_codebook(tmp_path: Path) -> None:
    codebook = fit(features(tmp_path / "features", VECTORS), tmp_path / "codebook")
    other = as_artifact(tmp_path / "other", [feature_table("v", VECTORS[:5, :8], 1.5)], 1)
    with pytest.raises(UserError, match=r"halffloat>\[8\], but the codebook .* was fit on 24 float16"):
        assign(other, codebook, tmp_path / "tokens")


def test_videos_without_clips_leave_empty_parts(tmp_path: Path) -> None:
    codebook = fit(features(tmp_path / "features", VECTORS), tmp_path / "codebook")
    empty = as_artifact(tmp_path / "empty", [feature_table("v", np.empty((0, 24), np.float16), 1.5)], 1)
    out = assign(empty, codebook, tmp_path / "tokens")
    assert (len(out.parts), out.rows()) == (1, 0)
