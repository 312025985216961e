"""The whole pipeline on real video files, by the command line: run, killed, run again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline import Artifact, UserError
from stages.video.read_features import ReadFeatures
from tests.models.small_encoders import save_encoder
from tests.runs import DEADLINE_S, ROOT, files
from tests.workflows.conftest import Command
from workflows import videobert

pytestmark = pytest.mark.slow


def artifact(store: Path, stage: str) -> Artifact:
    (path,) = store.glob(f"{stage}-*")
    return Artifact.open(path)


def test_from_video_files_to_zero_shot_scores(untouched: Path) -> None:
    assert artifact(untouched, "ReadVideos").rows() == 4
    assert artifact(untouched, "Transcribe").rows() > 4
    assert artifact(untouched, "EmbedClips").manifest["recipe"]["weights"] == "random:0"
    assert artifact(untouched, "SplitVideos").manifest["videos"] == {"train": 2, "dev": 1, "test": 1}
    sources = artifact(untouched, "Encode").read(["video_id", "split"]).to_pylist()
    assert {row["split"] for row in sources if row["video_id"] == "texts.txt"} == {"train", "dev"}
    assert "text/word_accuracy" in artifact(untouched, "Train").manifest["metrics"]
    methods = {row["method"] for row in artifact(untouched, "ZeroShot").manifest["scores"]}
    assert methods == {
        "S3D, supervised",
        "visual words, supervised",
        "chance",
        "BERT at the start, no video",
        "VideoBERT, no video (prior)",
        "VideoBERT, with video",
    }


def test_the_run_says_what_it_did_and_what_it_left_out(untouched: Path) -> None:
    said = (untouched / "said.txt").read_text()
    header = next(line for line in said.splitlines() if line.startswith("node"))
    assert header.split() == ["node", "rows", "errors", "seconds", "rows/s", "of", "the", "whole"]
    assert "zero-shot, per cent" in said
    errors = artifact(untouched, "ReadVideos").errors()
    assert errors is not None
    assert errors["item"].to_pylist() == ["broken"]


def test_no_clip_of_a_held_out_video_forms_the_codebook(untouched: Path) -> None:
    features = artifact(untouched, "EmbedClips").read(["video_id"])["video_id"].to_pylist()
    of_training = sum(v.startswith("train") for v in features)
    assert 0 < of_training < len(features)
    assert artifact(untouched, "FitCodebook").manifest["vectors"] == of_training


def test_killed_in_the_middle_of_a_stage_it_goes_on_and_ends_with_the_same_bytes(
    command: Command, untouched: Path, tmp_path: Path
) -> None:
    arguments = [sys.executable, *command(tmp_path, "--workers", "1")]
    process = subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True)
    end = time.monotonic() + DEADLINE_S
    while len(list(tmp_path.glob("EmbedClips-*/part-*"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (unfinished,) = tmp_path.glob("EmbedClips-*")
    assert not (unfinished / "manifest.json").exists()
    kept = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*/part-*")}
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr
    assert {p: p.stat().st_mtime_ns for p in kept} == kept, "what was done was done again"
    expected = {name: content for name, content in files(untouched).items() if name != "said.txt"}
    found = files(tmp_path)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []


def test_without_videos_from_features_and_captions(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ids = [f"v{i}" for i in range(6)]
    scenes = rng.normal(size=(4, 1024))
    for video_id in ids:
        clips = scenes[np.repeat(rng.permutation(4), 5)] + 0.1 * rng.normal(size=(20, 1024))
        (tmp_path / "features").mkdir(exist_ok=True)
        np.save(tmp_path / "features" / f"{video_id}.npy", clips.astype(np.float16))
    spoken = {"start": [0.0, 7.5], "end": [7.0, 14.0], "text": ["now cut the onion.", "then stir the soup."]}
    (tmp_path / "captions.json").write_text(json.dumps(dict.fromkeys(ids, spoken)))
    splits = ["train"] * 4 + ["dev", "test"]
    (tmp_path / "split.csv").write_text("\n".join(["video_id,split", *map(",".join, zip(ids, splits, strict=True))]))
    save_encoder(tmp_path / "encoder")
    given = {
        "--features.features": tmp_path / "features",
        "--features.features_per_s": 1.0,
        "--captions_json": tmp_path / "captions.json",
        "--split_file": tmp_path / "split.csv",
        "--encoder": tmp_path / "encoder",
        "--epochs": 1,
        "--store": tmp_path / "store",
    }
    options = [str(text) for option in given.items() for text in option] + ["--set", "codebook.min_points=4"]
    command = [sys.executable, "-m", "pipeline", "run", "videobert", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr
    store = tmp_path / "store"
    assert artifact(store, "Transcribe").read()["source"].unique().to_pylist() == ["json"]
    assert artifact(store, "FitCodebook").manifest["vectors"] == 4 * 20
    assert artifact(store, "AlignSpeech").rows() > 0
    assert artifact(store, "Evaluate").done


def test_videos_or_what_stands_for_them_must_be_given() -> None:
    features = ReadFeatures(features="s3d", features_per_s=1.5)
    for given in ({}, {"features": features}, {"captions_json": "captions.json"}):
        with pytest.raises(UserError, match=r"give --videos, or both --features\.features and --captions_json"):
            videobert.graph(**given)
    both = videobert.graph(videos="clips", features=features)
    assert both["features"].stage is features
    assert both["speech"].inputs == both["splits"].inputs == {"videos": "videos"}


def test_a_second_run_makes_nothing(command: Command, untouched: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in untouched.rglob("*") if ".locks" not in p.parts}
    done = subprocess.run([sys.executable, *command(untouched)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.count("done before") == 2 * 14  # as it goes along, and in the closing table
    assert {p: p.stat().st_mtime_ns for p in before} == before
