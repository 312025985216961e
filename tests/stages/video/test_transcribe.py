from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import whisper

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from pipeline.store import file_digest
from stages.video.transcribe import SPEECH, Transcribe
from tests.cases import artifact
from tests.stages.video.micro_whisper import SAMPLE_RATE, STARTS_S, UTTERANCE_S, WORD_S, Audio, write_video

CAPTIONS = "WEBVTT\nLanguage: en\n\n00:01.000 --> 00:03.000\nCut the onion. Then\n\n00:03.000 --> 00:04.000\nfry it.\n"
CAPTIONED = [("Cut the onion.", "captions", "en"), ("Then fry it.", "captions", "en")]
HEARD = [("Cut the onion.", "whisper", "en"), ("Then fry it.", "whisper", "en")]
NO_CHECKPOINT = "no checkpoint"


def quiet(seconds: float) -> Audio:
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)


def video(video_id: str, path: Path | None = None, captions: Path | None = None, **more: Any) -> dict[str, Any]:
    return {"video_id": video_id, "path": path and str(path), "captions": captions and str(captions), **more}


def transcribe(
    folder: Path, stage: Transcribe, videos: list[dict[str, Any]], parts: int = 1, workers: int = 0
) -> Artifact:
    schema = pa.schema([("video_id", pa.string()), ("path", pa.string()), ("captions", pa.string())])
    table = pa.Table.from_pylist(videos, pa.schema([f for f in schema if f.name in videos[0]]))
    if "has_audio" in videos[0]:
        table = table.append_column("has_audio", pa.array([v["has_audio"] for v in videos], pa.bool_()))
    out = Artifact(folder / f"out-{workers}", "key")
    with LocalExecutor(workers=workers) as executor:
        make(stage, {"videos": artifact(folder / f"in-{workers}", table, parts)}, out, executor)
    return out


def said(out: Artifact, video_id: str | None = None) -> list[tuple[str, str, str]]:
    rows = out.read().to_pylist()
    return [(r["text"], r["source"], r["language"]) for r in rows if video_id in (None, r["video_id"])]


def reasons(out: Artifact) -> dict[str, str]:
    rejected = out.errors()
    return {} if rejected is None else {r["item"]: r["reason"] for r in rejected.to_pylist()}


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    path = tmp_path / "a.vtt"
    path.write_text(CAPTIONS)
    return path


@pytest.fixture
def broken_whisper(tmp_path: Path) -> str:
    """A checkpoint that fails whoever loads it."""
    path = tmp_path / "broken.pt"
    path.write_text("no weights")
    return str(path)


class TestWhisper:
    @pytest.mark.parametrize("voice_activity", ["silero", "energy"])
    def test_an_utterance_among_silence_is_written_down_with_its_times(
        self, tmp_path: Path, micro_whisper: Path, utterance: Audio, voice_activity: Any
    ) -> None:
        path = write_video(tmp_path / "a.mp4", np.concatenate([quiet(7), utterance, quiet(5)]))
        stage = Transcribe(whisper=str(micro_whisper), voice_activity=voice_activity)
        out = transcribe(tmp_path, stage, [video("a", path, has_audio=True)])
        assert out.read().schema.remove_metadata() == SPEECH
        assert said(out) == HEARD
        first, second = out.read().to_pylist()
        assert (first["sentence"], second["sentence"]) == (0, 1)
        assert first["start_s"] == pytest.approx(7, abs=0.3)
        assert first["end_s"] == pytest.approx(7 + STARTS_S[2] + WORD_S, abs=0.3)
        assert second["start_s"] == pytest.approx(7 + STARTS_S[3], abs=0.3)
        assert second["end_s"] == pytest.approx(7 + UTTERANCE_S, abs=0.3)
        assert out.manifest["whisper"] == {"checkpoint": str(micro_whisper), "sha256": file_digest(micro_whisper)}

    def test_silence_and_noise_have_no_words(self, tmp_path: Path, micro_whisper: Path) -> None:
        hiss = (0.02 * np.random.default_rng(0).standard_normal(10 * SAMPLE_RATE)).astype(np.float32)
        videos = [
            video("silence", write_video(tmp_path / "silence.mp4", quiet(10)), has_audio=True),
            video("hiss", write_video(tmp_path / "hiss.mp4", hiss), has_audio=True),
            video("mute", write_video(tmp_path / "mute.mp4", None), has_audio=False),
            video("mute but nobody said so", tmp_path / "mute.mp4", has_audio=None),
        ]
        out = transcribe(tmp_path, Transcribe(whisper=str(micro_whisper)), videos)
        assert said(out) == []
        assert reasons(out) == {}

    def test_it_gets_the_fields_and_what_keeps_it_from_inventing(
        self, tmp_path: Path, micro_whisper: Path, utterance: Audio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[dict[str, Any]] = []
        transcribe_one = whisper.model.Whisper.transcribe

        def listen(model: Any, audio: Any, **options: Any) -> Any:
            asked.append(options)
            return transcribe_one(model, audio, **options)

        monkeypatch.setattr(whisper.model.Whisper, "transcribe", listen)
        path = write_video(tmp_path / "a.mp4", np.concatenate([quiet(1), utterance, quiet(1)]))
        forced = Transcribe(whisper=str(micro_whisper), language="de", no_speech_threshold=0.3, beam_size=3)
        out = transcribe(tmp_path / "forced", forced, [video("a", path)])
        assert {language for _, _, language in said(out)} == {"de"}
        greedy = Transcribe(whisper=str(micro_whisper), beam_size=1)
        assert said(transcribe(tmp_path / "greedy", greedy, [video("a", path)])) == HEARD
        always = {
            "temperature": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
            "best_of": 5,
            "condition_on_previous_text": False,
            "word_timestamps": True,
            "fp16": torch.cuda.is_available(),
        }
        assert asked == [
            {**always, "language": "de", "no_speech_threshold": 0.3, "beam_size": 3},
            {**always, "language": None, "no_speech_threshold": 0.6, "beam_size": None},
        ]

    @pytest.mark.slow
    def test_worker_processes_write_the_same_bytes(self, tmp_path: Path, micro_whisper: Path, utterance: Audio) -> None:
        videos = [
            video(
                f"v{i}", write_video(tmp_path / f"{i}.mkv", np.concatenate([quiet(1 + i), utterance, quiet(1)]), "flac")
            )
            for i in range(2)
        ]
        stage = Transcribe(whisper=str(micro_whisper), language="en", beam_size=1)
        alone, spread = (transcribe(tmp_path, stage, videos, parts=2, workers=n) for n in (0, 2))
        assert said(alone) == [*HEARD, *HEARD]
        assert [p.read_bytes() for p in alone.parts] == [p.read_bytes() for p in spread.parts]

    def test_it_is_loaded_only_for_a_video_that_needs_it(
        self, tmp_path: Path, captions: Path, broken_whisper: str, utterance: Audio
    ) -> None:
        path = write_video(tmp_path / "a.mp4", np.concatenate([utterance, quiet(1)]))
        out = transcribe(
            tmp_path,
            Transcribe(whisper=broken_whisper),
            [video("a", path, captions), video("b", captions=captions), video("c", path)],
        )
        assert said(out, "a") == said(out, "b") == CAPTIONED
        assert "not a checkpoint in the format of openai-whisper" in reasons(out)["c"]

    def test_an_official_model_that_cannot_be_had_ends_the_run_before_any_work(
        self, tmp_path: Path, captions: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(whisper._MODELS, "base", (tmp_path / "0" / "base.pt").as_uri())
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        captioned = transcribe(tmp_path / "1", Transcribe(), [video("a", tmp_path / "a.mp4", captions)])
        assert said(captioned) == CAPTIONED
        assert "whisper" not in captioned.manifest
        with pytest.raises(UserError, match=r"1 videos have no captions, and Whisper's model 'base' cannot be fetched"):
            transcribe(tmp_path / "2", Transcribe(), [video("a", tmp_path / "a.mp4")])

    def test_files_that_are_gone_or_no_media_are_rejected(self, tmp_path: Path, micro_whisper: Path) -> None:
        (tmp_path / "text.mp4").write_text("no video")
        mute = write_video(tmp_path / "mute.mp4", None)
        videos = [video("gone", tmp_path / "gone.mp4"), video("text", tmp_path / "text.mp4")]
        videos += [video("mute", mute), video("mute too", mute)]
        out = transcribe(tmp_path, Transcribe(whisper=str(micro_whisper)), videos)
        assert "gone.mp4" in reasons(out)["gone"]
        assert "text.mp4: its audio track cannot be decoded" in reasons(out)["text"]


class TestCaptions:
    def test_a_caption_file_is_read_and_the_sound_is_not(self, tmp_path: Path, captions: Path) -> None:
        out = transcribe(tmp_path, Transcribe(), [video("a", tmp_path / "never opened.mp4", captions)])
        assert said(out) == CAPTIONED
        rows = out.read().to_pylist()
        assert rows[0]["start_s"] == 1.0
        assert rows[0]["end_s"] <= rows[1]["start_s"] < 3.0
        assert rows[1]["end_s"] <= 4.0

    def test_a_broken_file_rejects_its_video_and_no_other(self, tmp_path: Path, captions: Path) -> None:
        broken = tmp_path / "broken.srt"
        broken.write_text("no captions")
        out = transcribe(tmp_path, Transcribe(), [video("a", None, captions), video("b", None, broken)])
        assert said(out) == CAPTIONED
        assert reasons(out).keys() == {"b"}
        assert f"{broken}: not a SubRip file" in reasons(out)["b"]

    def test_the_language_is_the_files_own_else_the_one_given(self, tmp_path: Path, captions: Path) -> None:
        other = tmp_path / "other.vtt"
        other.write_text(CAPTIONS.replace("Language: en\n", ""))
        videos = [video("a", None, captions), video("b", None, other)]
        out = transcribe(tmp_path, Transcribe(language="de"), videos)
        assert {r["video_id"]: r["language"] for r in out.read().to_pylist()} == {"a": "en", "b": "de"}
        out = transcribe(tmp_path / "again", Transcribe(), videos)
        assert {r["video_id"]: r["language"] for r in out.read().to_pylist()} == {"a": "en", "b": "und"}

    def test_pause_and_length_are_fields(self, tmp_path: Path) -> None:
        path = tmp_path / "a.srt"
        path.write_text(
            "1\n00:00:01,000 --> 00:00:02,000\ncut the onion\n\n2\n00:00:03,000 --> 00:00:04,000\nand fry\n"
        )
        for stage, expected in (
            (Transcribe(pause_s=0.5), ["cut the onion", "and fry"]),
            (Transcribe(pause_s=2.0), ["cut the onion and fry"]),
            (Transcribe(pause_s=2.0, max_words=4), ["cut the onion", "and fry"]),
        ):
            out = transcribe(tmp_path / str(stage.pause_s + stage.max_words), stage, [video("a", None, path)])
            assert [text for text, _, _ in said(out)] == expected


class TestCaptionsJson:
    @pytest.fixture
    def howto100m(self, tmp_path: Path) -> Path:
        path = tmp_path / "caption.json"
        asr = {"start": [0.0, 1.5, 9.0], "end": [4.0, 5.0, 11.0], "text": ["so cut", "the onion", "then fry it"]}
        path.write_text(json.dumps({"aaaaaaaaaaa": asr, "other": {}, "empty": {"start": [], "end": [], "text": []}}))
        return path

    def test_features_will_do_for_videos(self, tmp_path: Path, howto100m: Path) -> None:
        clips = [{"video_id": v} for v in ("aaaaaaaaaaa",) * 5 + ("empty",) * 2 + ("unknown",)]
        out = transcribe(tmp_path, Transcribe(captions_json=str(howto100m)), clips)
        assert said(out) == [("so cut the onion", "json", "und"), ("then fry it", "json", "und")]
        assert [r["start_s"] for r in out.read().to_pylist()] == [0.0, 9.0]
        assert reasons(out) == {"unknown": f"no captions of 'unknown' in {howto100m}, and no video file to recognise"}

    def test_it_goes_before_captions_and_sound(self, tmp_path: Path, howto100m: Path, captions: Path) -> None:
        videos = [video("aaaaaaaaaaa", tmp_path / "a.mp4", captions), video("b", tmp_path / "b.mp4", captions)]
        out = transcribe(tmp_path, Transcribe(captions_json=str(howto100m)), videos)
        assert [source for _, source, _ in said(out)] == ["json", "json", "captions", "captions"]

    def test_youcooks_annotations_stay_whole_and_v_before_an_identifier_is_no_matter(self, tmp_path: Path) -> None:
        path = tmp_path / "val.json"
        steps = {"duration": 99.0, "timestamps": [[26, 36], [38, 68]], "sentences": ["cut. an onion", "fry it"]}
        path.write_text(json.dumps({"v_xHr8X2Wpmno": steps, "yHr8X2Wpmno": steps}))
        clips = [{"video_id": v} for v in ("xHr8X2Wpmno", "v_yHr8X2Wpmno")]
        out = transcribe(tmp_path, Transcribe(captions_json=str(path), language="en"), clips)
        rows = out.read().to_pylist()
        assert [(r["start_s"], r["end_s"], r["text"]) for r in rows[:2]] == [
            (26, 36, "cut. an onion"),
            (38, 68, "fry it"),
        ]
        assert said(out, "xHr8X2Wpmno") == said(out, "v_yHr8X2Wpmno")

    def test_another_file_ends_the_run_before_any_work(self, tmp_path: Path) -> None:
        path = tmp_path / "a.json"
        path.write_text('{"a": ')
        with pytest.raises(UserError, match=r"a\.json: the object at byte 0 does not end"):
            transcribe(tmp_path, Transcribe(captions_json=str(path)), [{"video_id": "a"}])

    def test_features_without_it_cannot_be_transcribed(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"has no column path.* give captions_json"):
            transcribe(tmp_path, Transcribe(), [{"video_id": "a"}])


class TestFields:
    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            ({"no_speech_threshold": 1.5}, "no_speech_threshold must lie between 0 and 1, not 1.5"),
            ({"beam_size": 0}, "beam_size must be at least 1, not 0"),
            ({"pause_s": 0.0}, "pause_s must be above 0, not 0"),
            ({"max_words": 3}, "max_words must be at least 4, not 3"),
            ({"voice_activity": "none"}, "voice_activity must be silero or energy, not 'none'"),
            ({"language": "english"}, "no language 'english'"),
            ({"language": "de", "whisper": "base.en"}, "the model 'base.en' knows English only, not 'de'"),
        ],
    )
    def test_values_out_of_range_are_refused(self, fields: dict[str, Any], reason: str) -> None:
        with pytest.raises(UserError, match=reason):
            Transcribe(**fields)

    def test_outside_files_are_looked_for_when_planning(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"bse: no such file, and no Whisper model 'bse' \(did you mean base"):
            Transcribe(whisper="bse").key({})
        with pytest.raises(UserError, match=r"captions\.json: no such file"):
            Transcribe(captions_json=str(tmp_path / "captions.json")).key({})

    def test_the_key_changes_with_what_outside_files_hold(self, tmp_path: Path) -> None:
        path = tmp_path / "a.json"
        path.write_text("{}")
        keys = [Transcribe(captions_json=str(path)).key({}), Transcribe().key({}), Transcribe(whisper="tiny").key({})]
        path.write_text('{"a": {}}')
        keys.append(Transcribe(captions_json=str(path)).key({}))
        assert len(set(keys)) == 4
        assert keys[1] == Transcribe(whisper="base").key({})

    def test_a_checkpoint_has_one_key_however_it_is_spelt(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("w.pt").touch()
        assert len({Transcribe(whisper=w).key({}) for w in ("w.pt", "./w.pt", str(tmp_path / "w.pt"))}) == 1


def test_sentences_of_a_video_follow_each_other(tmp_path: Path, captions: Path) -> None:
    rows = transcribe(tmp_path, Transcribe(), [video("a", None, captions)]).read().to_pylist()
    assert all(a["end_s"] <= b["start_s"] and a["sentence"] + 1 == b["sentence"] for a, b in pairwise(rows))
