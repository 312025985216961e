"""Transcribe: what is said in each video, sentence by sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from models.whisper_checkpoint import find_checkpoint, official_digest
from pipeline.errors import UserError, unknown
from pipeline.executor import Executor, Resources
from pipeline.progress import counting
from pipeline.stage import Stage
from pipeline.store import Artifact, file_digest, listing_digest, part_schema, read_part
from stages.video.speech.caption_json import find_entries, read_entry
from stages.video.speech.captions import read_captions
from stages.video.speech.recognition import Recognizer, VoiceActivity
from stages.video.speech.sentences import Sentence, sentences
from stages.video.speech.words import Word

SPEECH = pa.schema(
    [
        ("video_id", pa.string()),
        ("sentence", pa.int32()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("text", pa.string()),
        ("source", pa.string()),
        ("language", pa.string()),
    ]
)
UNKNOWN_LANGUAGE = "und"
"""ISO 639's code for undetermined."""

_VIDEO = pa.schema(
    [
        ("video_id", pa.string()),
        ("path", pa.string()),
        ("captions", pa.string()),
        ("has_audio", pa.bool_()),
        ("entry_first", pa.int64()),
        ("entry_bytes", pa.int64()),
    ]
)
"""What a worker is told of a video; the last two say where in ``captions_json`` its entry lies."""


@dataclass(frozen=True, kw_only=True)
class Transcribe(Stage):
    """Write down what is said: from captions where there are any, else by Whisper from the audio track.

    In   videos: video_id str; where there: path str, captions str (.vtt, .srt or .json3), has_audio bool.
         Features (ReadFeatures) will do for those who have ``captions_json`` and no videos
    Out  video_id str, sentence int32 (from 0), start_s float64, end_s float64, text str,
         source str ("json", "captions" or "whisper"), language str (Whisper's code, "und" if unknown)

    For each video the first that there is of its entry in ``captions_json``, its caption file, its audio track. A video
    without any is silent: no rows. An entry or caption file that is broken rejects the video rather than have it
    recognised at a hundred times the cost; so does a missing entry where there is no video file.

    The paper (section 4.1) takes YouTube's recognised speech and has a network punctuate it; here a sentence ends at
    punctuation where there is some, else at pauses. Annotated sentences (YouCook II) are kept as they are.
    """

    captions_json: str | None = None
    """JSON file with the captions of many videos, in the form of HowTo100M, YouCook II or ActivityNet Captions"""
    whisper: str = "base"
    """Whisper model: an official name (tiny, base.en, large-v3, turbo, ...) or the path of a checkpoint"""
    language: str | None = None
    """Code of the language spoken in all videos ("en"); None to detect it in each. A caption file's own goes before"""
    voice_activity: VoiceActivity = "silero"
    """What finds the stretches that Whisper hears: Silero's network, or energy, which leaves out silence only"""
    no_speech_threshold: float = 0.6
    """Whisper's: a window is silent if that is at least this probable and its words are improbable; 0 to 1"""
    beam_size: int = 5
    """Whisper's beams; 1 is greedy: quicker, a little worse"""
    pause_s: float = 0.7
    """A pause that ends a sentence where there is no punctuation, in seconds"""
    max_words: int = 30
    """Longest sentence, in words; longer ones are cut at their longest pause"""

    version: ClassVar[str] = "2"
    paths: ClassVar[frozenset[str]] = frozenset({"captions_json", "whisper"})
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"videos": ("video_id",)}
    writes: ClassVar[pa.Schema | None] = SPEECH

    def __post_init__(self) -> None:
        if not 0 <= self.no_speech_threshold <= 1:
            raise UserError(f"no_speech_threshold must lie between 0 and 1, not {self.no_speech_threshold:g}")
        if self.beam_size < 1:
            raise UserError(f"beam_size must be at least 1, not {self.beam_size}")
        if self.pause_s <= 0:
            raise UserError(f"pause_s must be above 0, not {self.pause_s:g}")
        if self.max_words < 4:
            raise UserError(f"max_words must be at least 4, not {self.max_words}")
        if self.voice_activity not in ("silero", "energy"):
            raise UserError(f"voice_activity must be silero or energy, not '{self.voice_activity}'")
        if self.language is not None:
            from whisper.tokenizer import LANGUAGES

            if self.language not in LANGUAGES:
                raise unknown("language", self.language, LANGUAGES)
            if self.whisper.endswith(".en") and self.language != "en":
                raise UserError(f"the model '{self.whisper}' knows English only, not '{self.language}'")

    def fingerprint(self) -> str:
        digest = official_digest(self.whisper)
        if digest is None and not Path(self.whisper).is_file():
            from whisper import available_models

            raise UserError(
                f"{self.whisper}: no such file, and {unknown('Whisper model', self.whisper, available_models())}"
            )
        files = [] if digest else [self.whisper]
        return f"{digest or ''} {listing_digest(files + ([self.captions_json] if self.captions_json else []))}"

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any]:
        parts = self._parts(inputs["videos"])
        to_recognise = sum(_has_only_audio(video) for part in parts for video in part.to_pylist())
        recipe: dict[str, Any] = {}
        if to_recognise:
            try:
                checkpoint = find_checkpoint(self.whisper)
            except (ValueError, OSError) as error:
                raise UserError(f"{to_recognise} videos have no captions, and {error}") from None
            recipe["whisper"] = {"checkpoint": str(checkpoint), "sha256": file_digest(checkpoint)}
        resources = Resources(gpus=1) if to_recognise else Resources()
        make = partial(Transcriber, self)
        executor.map(make, [[p] for p in parts], out, schema=SPEECH, by="video_id", resources=resources)
        return recipe

    def _parts(self, videos: Artifact) -> list[pa.Table]:
        """For each part of ``videos`` a row a video, with what a worker must know of it."""
        entries = self._entries()
        parts = []
        for path in videos.parts:
            names = set(part_schema(path).names)
            table = read_part(path, [c for c in _VIDEO.names if c in names])
            if self.captions_json is None and "path" not in names:
                raise UserError(
                    f"{path}: has no column path, so its videos cannot be transcribed; give captions_json, the file "
                    "with their captions"
                )
            ids = table["video_id"]
            rows = table.take(pc.index_in(pc.unique(ids), value_set=ids)).to_pylist()
            for row in rows:
                row["entry_first"], row["entry_bytes"] = _find(entries, row["video_id"]) or (None, None)
            parts.append(pa.Table.from_pylist(rows, _VIDEO))
        return parts

    def _entries(self) -> dict[str, tuple[int, int]]:
        if self.captions_json is None:
            return {}
        entries = {}
        with counting("captions_json", Path(self.captions_json).stat().st_size, "bytes") as counter:
            try:
                for video_id, first, size in find_entries(self.captions_json):
                    entries[video_id] = (first, size)
                    counter.advance(first - counter.done)
            except ValueError as error:
                raise UserError(str(error)) from None
        return entries


class Transcriber:
    """Speech of one video a call."""

    def __init__(self, stage: Transcribe) -> None:
        self.stage = stage
        self.recognize = Recognizer(
            stage.whisper, stage.language, stage.voice_activity, stage.no_speech_threshold, stage.beam_size
        )

    def __call__(self, videos: pa.Table) -> pa.Table:
        (video,) = videos.to_pylist()
        found, source, language = self._listen(video)
        rows = [
            {
                "video_id": video["video_id"],
                "sentence": i,
                "start_s": round(sentence.start_s, 3),
                "end_s": round(sentence.end_s, 3),
                "text": sentence.text,
                "source": source,
                "language": language or UNKNOWN_LANGUAGE,
            }
            for i, sentence in enumerate(found)
        ]
        return pa.Table.from_pylist(rows, SPEECH)

    def _listen(self, video: dict[str, Any]) -> tuple[list[Sentence], str, str | None]:
        stage = self.stage
        if video["entry_first"] is not None and stage.captions_json is not None:
            found = read_entry(stage.captions_json, video["entry_first"], video["entry_bytes"])
            return self._sentences(found), "json", stage.language
        if video["captions"] is not None:
            words, language = read_captions(video["captions"])
            return self._sentences(words), "captions", language or stage.language
        if video["path"] is None:
            where = f" in {stage.captions_json}" if stage.captions_json else ""
            raise ValueError(f"no captions of '{video['video_id']}'{where}, and no video file to recognise")
        if video["has_audio"] is False:
            return [], "whisper", None
        words, language = self.recognize(video["path"])
        return self._sentences(words), "whisper", language

    def _sentences(self, found: list[Word] | list[Sentence]) -> list[Sentence]:
        words = [f for f in found if isinstance(f, Word)]
        annotated = [f for f in found if isinstance(f, Sentence)]
        return annotated or sentences(words, self.stage.pause_s, self.stage.max_words)


def _has_only_audio(video: Mapping[str, Any]) -> bool:
    return (
        video["entry_first"] is None
        and video["captions"] is None
        and video["path"] is not None
        and video["has_audio"] is not False
    )


def _find(entries: Mapping[str, tuple[int, int]], video_id: str) -> tuple[int, int] | None:
    """The entry of a video; YouCook II's and ActivityNet's files say ``v_`` before YouTube's identifier."""
    return entries.get(video_id) or entries.get(f"v_{video_id}") or entries.get(video_id.removeprefix("v_"))
