"""What is said and what is seen at the same time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import Artifact, Executor, Stage, UserError
from pipeline.store import read_part

SEGMENTS = pa.schema(
    [
        ("video_id", pa.string()),
        ("segment", pa.int32()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("text", pa.string()),
        ("tokens", pa.list_(pa.uint16())),
        ("split", pa.string()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class AlignSpeech(Stage):
    """Cut videos into segments: a sentence with the visual tokens of its time span, or a stretch without speech.

    In   tokens: video_id str, start_s float64, end_s float64, token uint16; splits: video_id str, split str;
         speech (optional): video_id str, start_s float64, end_s float64, text str
    Out  video_id str, segment int32 (from 0, in order of time), start_s float64, end_s float64, text str or null,
         tokens list<uint16>, split str ("train", "dev" or "test", the same for all segments of a video)

    A clip belongs to the sentence its midpoint lies in; where recognised sentences overlap, to the one that began last,
    so never to two. A sentence too short to hold a midpoint keeps no tokens, a video without tokens its sentences.
    Clips outside every sentence, and all those of a silent video, make segments of ``segment_tokens`` without text
    (Sun et al. 2019, section 3.2: visual tokens in the sentence's time span; without speech, 16 tokens a segment).
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "tokens": ("video_id", "start_s", "end_s", "token"),
        "speech": ("video_id", "start_s", "end_s", "text"),
        "splits": ("video_id", "split"),
    }
    optional: ClassVar[frozenset[str]] = frozenset({"speech"})
    writes: ClassVar[pa.Schema | None] = SEGMENTS

    segment_tokens: int = 16
    """Most clips of a segment without speech."""

    def __post_init__(self) -> None:
        if self.segment_tokens < 1:
            raise UserError(f"segment_tokens must be at least 1, not {self.segment_tokens}")

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        tokens = inputs["tokens"].parts
        if "speech" in inputs:
            speech: Sequence[Path | pa.Table] = inputs["speech"].parts
            check_cut_alike(inputs["tokens"], inputs["speech"])
        else:
            silence = pa.schema([SEGMENTS.field(name) for name in self.reads["speech"]]).empty_table()
            speech = [silence] * len(tokens)
        check_cut_alike(inputs["tokens"], inputs["splits"])
        parts = list(zip(tokens, speech, inputs["splits"].parts, strict=True))
        executor.map(partial(SegmentCutter, self.segment_tokens), parts, out, schema=SEGMENTS, by="video_id")


class SegmentCutter:
    """Tokens, sentences and split of one video in, its segments out."""

    def __init__(self, segment_tokens: int) -> None:
        self.segment_tokens = segment_tokens

    def __call__(self, clips: pa.Table, speech: pa.Table, splits: pa.Table) -> pa.Table:
        if not clips.num_rows and not speech.num_rows:
            return SEGMENTS.empty_table()
        if not splits.num_rows:
            raise ValueError("the video has no split: see the errors of SplitVideos")
        video_id = (clips if clips.num_rows else speech)["video_id"][0].as_py()
        split = splits["split"][0].as_py()
        clips = clips.sort_by("start_s")
        token = clips["token"].to_numpy()
        start_s, end_s = clips["start_s"].to_numpy(), clips["end_s"].to_numpy()
        sentences = speech.sort_by([("start_s", "ascending"), ("end_s", "descending")]).to_pylist()
        sentences = [s for s in sentences if s["text"] and s["text"].strip()]
        owner = owners((start_s + end_s) / 2, [(s["start_s"], s["end_s"]) for s in sentences])
        rows = [
            {"start_s": s["start_s"], "end_s": s["end_s"], "text": s["text"].strip(), "tokens": token[owner == i]}
            for i, s in enumerate(sentences)
        ]
        for clip in silent_stretches(owner, self.segment_tokens):
            first, last = clip[0], clip[-1]
            rows.append({"start_s": start_s[first], "end_s": end_s[last], "text": None, "tokens": token[clip]})
        rows.sort(key=lambda row: (row["start_s"], row["end_s"]))
        numbered = [{"video_id": video_id, "segment": i, "split": split, **row} for i, row in enumerate(rows)]
        return pa.Table.from_pylist(numbered, SEGMENTS)


def owners(middle_s: np.ndarray, spans_s: Sequence[tuple[float, float]]) -> np.ndarray:
    """For each clip the position of the sentence it belongs to, or -1.

    middle_s    shape = (clips,), ascending
    spans_s     start and end (excluded) of each sentence, in order of the starts
    """
    owner = np.full(len(middle_s), -1)
    for i, span in enumerate(spans_s):
        first, after = np.searchsorted(middle_s, span)
        owner[first:after] = i
    return owner


def silent_stretches(owner: np.ndarray, length: int) -> list[np.ndarray]:
    """Positions of neighbouring clips that belong to no sentence, at most ``length`` together."""
    silent = np.flatnonzero(owner < 0)
    runs = np.split(silent, np.flatnonzero(np.diff(silent) > 1) + 1)
    return [run[i : i + length] for run in runs for i in range(0, len(run), length)]


def check_cut_alike(tokens: Artifact, other: Artifact) -> None:
    """UserError where a video's tokens and its rows of ``other`` are not in parts of the same number."""
    both = (tokens, other)
    places = [{v: i for i, part in enumerate(a.parts) for v in video_ids(part)} for a in both]
    apart = [v for v, i in places[0].items() if places[1].get(v, i) != i]
    if apart or len(tokens.parts) != len(other.parts):
        reason = f"'{apart[0]}' is in parts of different number" if apart else "they have different numbers of parts"
        raise UserError(
            f"{tokens.path} and {other.path} are cut differently ({reason}): make both from the same videos artifact"
        )


def video_ids(part: Path) -> list[str]:
    ids: list[str] = pc.unique(read_part(part, ["video_id"])["video_id"]).to_pylist()
    return ids
