"""Features in parts as one matrix."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline import UserError
from stages.video.codebook.vectors import ROWS, ClipRows, as_matrix, mapped_vectors
from stages.video.feature_table import feature_table
from tests.models.clouds import cloud
from tests.stages.video.some_features import as_artifact


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_parts_follow_each_other(suffix: str, tmp_path: Path) -> None:
    vectors = cloud(2 * ROWS + 500, width=8)
    cuts = [0, 3, ROWS + 60, len(vectors)]
    tables = [feature_table(f"v{i}", vectors[a:b], 1.5) for i, (a, b) in enumerate(pairwise(cuts))]
    rows = ClipRows.of(as_artifact(tmp_path / "features", tables, 3, suffix).parts)
    told = []
    with mapped_vectors(rows, tmp_path, advance=told.append) as mapped:
        np.testing.assert_array_equal(mapped.numpy(), vectors)
        assert not [p for p in tmp_path.iterdir() if p.name != "features"]
    assert sum(told) == len(rows) == len(vectors)
    assert [rows.locate(i) for i in (0, 2, 3, len(vectors) - 1)] == [
        (0, 0),
        (0, 2),
        (1, 0),
        (2, len(vectors) - ROWS - 61),
    ]


def test_videos_can_be_chosen(tmp_path: Path) -> None:
    vectors = cloud(60, width=8)
    tables = [feature_table(f"v{i}", vectors[10 * i : 10 * i + 10], 1.5) for i in range(6)]
    given = as_artifact(tmp_path / "features", tables, 2)  # v0 v2 v4, v1 v3 v5
    rows = ClipRows.of(given.parts, pa.array(["v2", "v3", "elsewhere"]))
    with mapped_vectors(rows, tmp_path) as mapped:
        np.testing.assert_array_equal(mapped.numpy(), vectors[20:40])
    assert [rows.locate(i) for i in (0, 9, 10, 19)] == [(0, 10), (0, 19), (1, 10), (1, 19)]
    with pytest.raises(UserError, match="no features of training videos"):
        ClipRows.of(given.parts, pa.array(["elsewhere"]))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, None])
def test_a_feature_that_is_no_number_is_named(value: float | None, tmp_path: Path) -> None:
    table = feature_table("v", cloud(20, width=8), 1.5)
    lists = table["feature"].to_pylist()
    lists[13] = None if value is None else [*lists[13][:7], value]
    broken = table.set_column(4, "feature", pa.array(lists, table.schema.field("feature").type))
    given = as_artifact(tmp_path / "features", [table, broken], 2)
    with (
        pytest.raises(UserError, match=r"part-00001\.parquet, row 13: the feature is missing or not finite"),
        mapped_vectors(ClipRows.of(given.parts), tmp_path),
    ):
        pass
    _, finite = as_matrix(broken["feature"].combine_chunks())
    assert np.flatnonzero(~finite).tolist() == [13]
    if value is not None:  # nobody minds it in a video that is left out
        other = broken.set_column(0, "video_id", pa.array(["w"] * 20))
        rows = ClipRows.of(as_artifact(tmp_path / "both", [table, other], 1).parts, pa.array(["v"]))
        with mapped_vectors(rows, tmp_path) as mapped:
            assert len(mapped) == 20


def test_widths_must_be_one(tmp_path: Path) -> None:
    tables = [feature_table("v", cloud(5, width=width), 1.5) for width in (8, 9)]
    for i, table in enumerate(tables):
        as_artifact(tmp_path / f"{i}", [table], 1)
    parts = [tmp_path / f"{i}" / "part-00000.parquet" for i in range(2)]
    with (
        pytest.raises(UserError, match=r"different widths: 8 in .*0/part-00000.parquet, 9 in .*1/part"),
        mapped_vectors(ClipRows.of(parts), tmp_path),
    ):
        pass


def test_features_must_be_fixed_size_lists_of_float16(tmp_path: Path) -> None:
    table = pa.table({"video_id": ["v"], "feature": [[1.0, 2.0]]})
    given = as_artifact(tmp_path / "features", [table], 1)
    with (
        pytest.raises(UserError, match=r"feature is list<.*double>, not a fixed-size list of float16"),
        mapped_vectors(ClipRows.of(given.parts), tmp_path),
    ):
        pass


def test_no_features_make_no_codebook(tmp_path: Path) -> None:
    given = as_artifact(tmp_path / "features", [feature_table("v", np.empty((0, 8), np.float16), 1.5)], 1)
    with pytest.raises(UserError, match="there are no features to make a codebook of"):
        ClipRows.of(given.parts)
    with pytest.raises(UserError, match="there are no features"):
        ClipRows.of([])
