from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.video.read_features import ReadFeatures

FEATURES = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)


def read(folder: Path, workers: int = 0, **fields: Any) -> Artifact:
    stage = ReadFeatures(**{"features": str(folder / "in"), "features_per_s": 1.5, "width": 8, **fields})
    out = Artifact(folder / f"out-{workers}", "key")
    with LocalExecutor(workers=workers, max_error_rate=1) as executor:
        make(stage, {}, out, executor)
    return out


def save(folder: Path, **arrays: Any) -> None:
    (folder / "in").mkdir(exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / "in" / f"{name}.npy", array)


def test_rows_follow_each_other_at_the_given_rate(tmp_path: Path) -> None:
    save(tmp_path, a=FEATURES)
    table = read(tmp_path).read()
    assert table["video_id"].to_pylist() == ["a"] * 5
    assert table["clip"].to_pylist() == [0, 1, 2, 3, 4]
    assert np.allclose(table["start_s"], np.arange(5) / 1.5)
    assert np.allclose(table["end_s"], np.arange(1, 6) / 1.5)
    assert np.array_equal(table["feature"].combine_chunks().flatten().to_numpy(), FEATURES.astype(np.float16).ravel())
    assert table["thumbnail"].null_count == 5
    assert table.schema.field("feature").type == pa.list_(pa.float16(), 8)


def test_ids_are_paths_below_the_folder(tmp_path: Path) -> None:
    (tmp_path / "in/x").mkdir(parents=True)
    save(tmp_path, a=FEATURES)
    np.savez(tmp_path / "in/a.npz", FEATURES)
    np.savez(tmp_path / "in/a.npy.npz", FEATURES)
    (tmp_path / "elsewhere").mkdir()
    np.save(tmp_path / "elsewhere/c.npy", FEATURES)
    (tmp_path / "in/y").symlink_to(tmp_path / "elsewhere")
    np.savez(tmp_path / "in/x/b.npz", features=FEATURES, times=np.arange(5))
    (tmp_path / "in/readme.txt").touch()
    out = read(tmp_path, videos_per_part=2)
    assert list(dict.fromkeys(out.read()["video_id"].to_pylist())) == ["a.npy", "a.npy.npz", "a.npz", "x/b", "y/c"]
    assert len(out.parts) == 3


def test_bad_files_are_error_rows_with_file_and_shape(tmp_path: Path) -> None:
    nan = FEATURES.copy()
    nan[3, 2] = np.nan
    save(
        tmp_path, good=FEATURES, rank=FEATURES[None], flat=FEATURES[0], wide=FEATURES[:, :7], none=FEATURES[:0], nan=nan
    )
    save(tmp_path, large=FEATURES * 1e6, whole=FEATURES.astype(np.int64), objects=np.array([{"pickled": 1}]))
    np.savez(tmp_path / "in/several.npz", one=FEATURES, other=FEATURES)
    (tmp_path / "in/text.npy").write_text("no array")
    (tmp_path / "in/text.npz").write_text("no arrays")
    (tmp_path / "in/empty.npz").touch()
    out = read(tmp_path)
    assert set(out.read()["video_id"].to_pylist()) == {"good"}
    reasons = {r["item"]: r["reason"].removeprefix(f"{tmp_path}/in/") for r in out.errors().to_pylist()}
    assert reasons.pop("objects").startswith("objects.npy: cannot be read (")
    assert reasons.pop("text.npy").startswith("text.npy: cannot be read (")
    assert reasons.pop("text.npz").startswith("text.npz: cannot be read (")
    assert reasons.pop("empty").startswith("empty.npz: cannot be read (")
    unfit = "has a feature that is no number or above 65504, float16's largest"
    assert reasons == {
        "rank": "rank.npy: its shape is 1 x 5 x 8, not clips x 8",
        "flat": "flat.npy: its shape is 8, not clips x 8",
        "wide": "wide.npy: its shape is 5 x 7, not clips x 8",
        "none": "none.npy: has no rows (0 x 8)",
        "nan": f"nan.npy (5 x 8): clip 3 {unfit}",
        "large": f"large.npy (5 x 8): clip 0 {unfit}",
        "whole": "whole.npy: holds int64 (5 x 8), not floats",
        "several": "several.npz: cannot be read (holds one, other, and none is called features)",
    }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"features": "none"}, "none: no such folder"),
        ({"features": "."}, r"has no \.npy or \.npz files"),
        ({"features_per_s": 0}, "features_per_s must be above 0, not 0"),
        ({"width": 0}, "width must be at least 1, not 0"),
        ({"videos_per_part": 0}, "videos_per_part must be at least 1, not 0"),
    ],
)
def test_fields_that_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        ReadFeatures(**{"features": ".", "features_per_s": 1, **fields}).key({})
