"""A tiny VideoBERT to train: an extended two-layer BERT and segments whose words tell their visual words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from models.tasks import VideoText
from models.vocabulary import extend_tokenizer
from pipeline import Artifact, LocalExecutor
from pipeline.graph import make
from pipeline.store import write_json, write_part
from stages.encode import Encode
from tests.models.small_encoders import PIECES, save_model, save_tokenizer

VERBS = ("stir", "cut", "cafe", "now")


def extended_bert(folder: Path) -> Artifact:
    """A BERT whose vocabulary has 2 ** 3 visual words."""
    extend_tokenizer(save_tokenizer(folder / "text"), 2, 3, folder)
    save_model(folder, rows=len(PIECES) + 1 + 8, width=32)
    write_json(folder / "manifest.json", {"key": "model"})
    return Artifact(folder, "model")


def segments(folder: Path, videos: int = 20, parts: int = 2) -> Artifact:
    """Segments of ``videos`` videos, a tenth of them dev and test each."""
    rng = np.random.default_rng(0)
    rows = []
    for video in range(videos):
        split = {0: "dev", 1: "test"}.get(video % 10, "train")
        for verb in rng.integers(len(VERBS), size=4):
            tokens = [int(verb)] * int(rng.integers(2, 5))
            rows.append({"video_id": f"v{video}", "text": f"{VERBS[verb]} the soup", "tokens": tokens, "split": split})
    schema = pa.schema(
        [("video_id", pa.string()), ("text", pa.string()), ("tokens", pa.list_(pa.uint16())), ("split", pa.string())]
    )
    for i in range(parts):
        start, end = (len(rows) * k // parts for k in (i, i + 1))
        write_part(folder / f"part-{i:05d}.parquet", pa.Table.from_pylist(rows[start:end], schema))
    write_json(folder / "manifest.json", {"key": "segments"})
    return Artifact(folder, "segments")


def examples(folder: Path, model: Artifact, videos: int = 20) -> Artifact:
    artifact = Artifact(folder / "examples", "examples")
    make(
        Encode(task=VideoText()), {"rows": segments(folder / "rows", videos), "model": model}, artifact, LocalExecutor()
    )
    return artifact
