"""Speech recognition: Whisper on the stretches of a recording in which somebody speaks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from models.voice_activity import SileroActivity, energy_activity, pack, speech_spans, unpack
from models.whisper_checkpoint import find_checkpoint, load_whisper
from stages.video.speech.audio import FloatArray, cut, read_audio
from stages.video.speech.words import Word, likely_seconds, split_words, spread

if TYPE_CHECKING:
    from whisper.model import Whisper

VoiceActivity = Literal["silero", "energy"]
TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Tried one after another while the text is too repetitive or too improbable, as by Whisper's command line."""


@dataclass
class Recognizer:
    """Words of a file's audio track. The network is loaded when the first recording with speech comes.

    The track is streamed twice: once to find the speech, once to recognise it, window by window.
    """

    whisper: str
    language: str | None
    voice_activity: VoiceActivity
    no_speech_threshold: float
    beam_size: int

    @cached_property
    def _activity(self) -> Any:
        return SileroActivity() if self.voice_activity == "silero" else energy_activity

    @cached_property
    def _network(self) -> Whisper:
        import numba

        threads = torch.get_num_threads()
        numba.set_num_threads(min(threads, numba.get_num_threads()))  # Whisper's alignment of words uses numba
        torch.set_num_threads(threads)  # numba's first call gives every library in this process all cores
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return load_whisper(find_checkpoint(self.whisper), device)

    def __call__(self, path: str) -> tuple[list[Word], str | None]:
        """The words of ``path``, and their language: the one that was forced, else that of the first window."""
        windows = pack(speech_spans(*self._activity(read_audio(path))))
        pieces = cut(read_audio(path), [span for window in windows for span in window])
        words: list[Word] = []
        language = self.language
        for window in windows:
            heard = self._transcribe(np.concatenate([next(pieces) for _ in window]), language)
            language = heard["language"]
            for segment in heard["segments"]:
                for word in _segment_words(segment):
                    words.append(Word(*unpack(word.start_s, word.end_s, window), word.text))
        return words, language

    def _transcribe(self, audio: FloatArray, language: str | None) -> dict[str, Any]:
        device = self._network.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(0)  # temperatures above 0 sample
            heard: dict[str, Any] = self._network.transcribe(
                audio,
                language=language,
                temperature=TEMPERATURES,
                beam_size=self.beam_size if self.beam_size > 1 else None,
                best_of=5,
                no_speech_threshold=self.no_speech_threshold,
                condition_on_previous_text=False,
                word_timestamps=True,
                fp16=device.type == "cuda",
            )
        return heard


def _segment_words(segment: dict[str, Any]) -> list[Word]:
    """Whisper's words with the times of its alignment heads; spread over the segment where alignment failed.

    The alignment gives the first word all the time since the window began: its end is right, its start is mended.
    """
    if not segment["words"]:
        return spread(split_words(segment["text"]), float(segment["start"]), float(segment["end"]))
    words = [Word(float(w["start"]), float(w["end"]), w["word"]) for w in segment["words"]]
    first = words[0]
    words[0] = first._replace(start_s=max(first.start_s, first.end_s - likely_seconds([first.text])))
    return words
