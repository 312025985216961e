"""FitCodebook: what it writes, and what does not change it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file
from threadpoolctl import threadpool_limits

from models.codebook import FILE, Codebook
from models.points import CHUNK
from pipeline import Artifact, UserError
from pipeline.process import cores
from stages.video.fit_codebook import UNFINISHED, FitCodebook
from tests.models.clouds import cloud
from tests.runs import ROOT
from tests.stages.video.some_features import CLIPS, FIT, as_artifact, features, fit

VECTORS = cloud(3000, width=24)


def content(artifact: Artifact) -> dict[str, bytes]:
    """All files but the manifest."""
    return {p.name: p.read_bytes() for p in artifact.path.iterdir() if p.suffix != ".json"}


def test_every_level_is_written(tmp_path: Path) -> None:
    out = fit(features(tmp_path / "features", VECTORS), tmp_path / "codebook")
    assert set(content(out)) == {FILE, "codebook.png"}
    tensors = load_file(out.path / FILE)
    assert tensors["errors"].shape == (4,)
    assert (np.diff(tensors["errors"]) < 0).all()
    for level in (1, 2, 3, 4):
        centroids, counts, dead = (tensors[f"{name}.{level}"] for name in ("centroids", "counts", "dead"))
        assert (centroids.shape, centroids.dtype) == ((4**level, 24), np.float32)
        assert (counts.dtype, dead.dtype) == (np.int64, np.bool_)
        assert counts.sum() == len(VECTORS)
        np.testing.assert_array_equal(dead, counts == 0)
    manifest = out.manifest
    assert manifest["vectors"] == len(VECTORS)
    assert manifest["words"] == {"all": 256, "live": int((~tensors["dead.4"]).sum())}
    assert manifest["squared_errors"] == tensors["errors"].tolist()
    with Image.open(out.path / "codebook.png") as picture:
        assert picture.width > picture.height > 100


def test_papers_tree_has_20736_identifiers_however_few_the_clips(tmp_path: Path) -> None:
    out = fit(features(tmp_path / "features", VECTORS[:200, :4]), tmp_path / "codebook", FitCodebook())
    codebook = Codebook.load(out.path)
    assert codebook.leaves().shape == (20_736, 4)
    assert codebook.assign_tree(VECTORS[:200, :4]).max() < 20_736
    assert codebook.counts[-1].sum() == 200


def test_bytes_do_not_depend_on_workers_or_parts(tmp_path: Path) -> None:
    given = features(tmp_path / "features", VECTORS)
    known = content(fit(given, tmp_path / "none"))
    for workers in (1, 2):
        assert content(fit(given, tmp_path / f"{workers} workers", workers=workers)) == known
    one_part = [pa.concat_tables([given.read()])]
    assert content(fit(as_artifact(tmp_path / "one part", one_part, 1), tmp_path / "of one part")) == known


@pytest.mark.parametrize("refine", [0, 2])
def test_bytes_do_not_depend_on_threads(tmp_path: Path, refine: int) -> None:
    """faiss, which assigns to refined leaves, has threads of its own."""
    given = features(tmp_path / "features", cloud(CHUNK + 3000, width=24))
    found = []
    for threads in (1, 2, 3):
        with threadpool_limits(threads):
            torch.set_num_threads(threads)
            found.append(content(fit(given, tmp_path / f"{threads} threads", replace(FIT, refine=refine))))
    torch.set_num_threads(cores())
    assert found == [found[0]] * 3


FIT_AND_WATCH = """
import sys, threading
from pathlib import Path
from pipeline import Artifact
from stages.video.fit_codebook import FitCodebook
from tests.stages.video.some_features import fit

def anonymous_mb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024

def peak_mb(features, out):
    seen, ended = [], threading.Event()

    def watch():
        while not ended.wait(0.002):
            seen.append(anonymous_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    fit(Artifact.open(features), Path(out), FitCodebook(branching=2, depth=1, iterations=2, unit_length=True))
    ended.set()
    watcher.join()
    return max(seen)

small = peak_mb(sys.argv[1], sys.argv[3])
print(peak_mb(sys.argv[2], sys.argv[4]) - small)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_features(tmp_path: Path) -> None:
    """320,000 of them, 164 MB, beside 20,000. Not counted: the mapped copy, which the system may take back."""
    some = np.random.default_rng(0).normal(size=(20_000, 256)).astype(np.float16)
    small = features(tmp_path / "small", some)
    large = features(tmp_path / "large", np.tile(some, (16, 1)), parts=48)
    command = [sys.executable, "-c", FIT_AND_WATCH, small.path, large.path, tmp_path / "a", tmp_path / "b"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 120


def test_only_training_videos_are_clustered(tmp_path: Path) -> None:
    given = features(tmp_path / "features", VECTORS)
    n_videos = len(VECTORS) // CLIPS
    splits = pa.table({"video_id": [f"v{i}" for i in range(n_videos)], "split": ["train", "dev", "test"] * 20})
    out = fit(given, tmp_path / "codebook", splits=as_artifact(tmp_path / "splits", [splits], 1))
    assert out.manifest["vectors"] == len(VECTORS) // 3
    train = np.concatenate([VECTORS[i * CLIPS : (i + 1) * CLIPS] for i in range(0, n_videos, 3)])
    alone = fit(features(tmp_path / "train", train, parts=1), tmp_path / "train codebook")
    assert content(alone)[FILE] == content(out)[FILE]


def test_a_killed_fit_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    given = features(tmp_path / "features", VECTORS)
    known = content(fit(given, tmp_path / "whole"))
    out = tmp_path / "killed"
    program = [sys.executable, "-m", "tests.stages.video.some_features", str(given.path), str(out)]
    process = subprocess.Popen(program, stderr=subprocess.PIPE)
    while not (out / UNFINISHED).is_file():
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (out / FILE).exists()
    n_levels = Codebook.load(out / UNFINISHED).depth
    assert 1 <= n_levels <= 4
    again = fit(given, out)
    assert content(again) == known
    assert {p.name for p in out.iterdir()} == {*known, "manifest.json"}


def test_refined_leaves_have_less_error(tmp_path: Path) -> None:
    given = features(tmp_path / "features", VECTORS)
    tree = fit(given, tmp_path / "tree")
    refined = fit(given, tmp_path / "refined", FitCodebook(branching=4, depth=4, min_points=8, refine=2))
    assert refined.manifest["squared_errors"][-1] < tree.manifest["squared_errors"][-1]
    tokens = Codebook.load(refined.path).assign_flat(VECTORS)
    np.testing.assert_array_equal(np.bincount(tokens, minlength=256), Codebook.load(refined.path).counts[-1])


def test_clips_of_frequent_leaves_are_drawn(tmp_path: Path) -> None:
    centres = 100 * np.eye(4)
    kind = np.repeat([0, 1, 2, 3], [100, 60, 30, 10])
    vectors = (centres[kind] + 0.1 * np.random.default_rng(0).normal(size=(200, 4))).astype(np.float16)
    colours = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250], [250, 250, 0]])[kind]
    given = features(tmp_path / "features", vectors, colours=colours)
    out = fit(given, tmp_path / "codebook", FitCodebook(branching=4, depth=1, min_points=8))
    with Image.open(out.path / "clips.png") as sheet:
        assert sheet.size == (120 + 6 * 112, 4 * 112)
        lines = [np.asarray(sheet)[112 * i + 10, 130] for i in range(4)]
    assert np.abs(np.array(lines) - colours[[0, 100, 160, 190]]).max() < 5  # most frequent first


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"branching": 1}, "branching must be at least 2, not 1"),
        ({"depth": 5}, r"12\^5 visual words: a token has 16 bits"),
        ({"branching": 300, "depth": 1}, "branching must be at most 256, not 300"),
        ({"min_points": 0}, "min_points must be at least 1, not 0"),
        ({"tolerance": float("nan")}, "tolerance must be at least 0, not nan"),
        ({"refine": -1}, "refine must be at least 0, not -1"),
    ],
)
def test_fields_are_checked(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        FitCodebook(**fields)


def test_as_many_words_as_a_token_can_number(tmp_path: Path) -> None:
    given = features(tmp_path / "features", VECTORS[:300, :2])
    out = fit(given, tmp_path / "codebook", FitCodebook(branching=16, depth=4, min_points=4, refine=1))
    codebook = Codebook.load(out.path)
    assert len(codebook.leaves()) == 2**16
    assert codebook.counts[-1].sum() == 300


def test_fields_are_what_the_bytes_depend_on() -> None:
    keys = {FIT.key({"features": "a"}), FIT.key({"features": "b"}), FitCodebook().key({"features": "a"})}
    assert len(keys) == 3


def test_too_few_words_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(features(tmp_path / "features", VECTORS[:60], parts=1), tmp_path / "codebook", FitCodebook())
    assert "60 clips make 1 visual words, too few to learn from" in capsys.readouterr().err
