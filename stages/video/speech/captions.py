"""Caption files: WebVTT, SubRip and YouTube's json3."""

from __future__ import annotations

import codecs
import io
import json
import re
from pathlib import Path

from stages.video.speech.cues import Cue, cue_words
from stages.video.speech.words import Word

SUFFIXES = (".vtt", ".srt", ".json3")

_STAMP = re.compile(r"<(?:(\d+):)?(\d{1,2}):(\d{2}\.\d{3})>")
_ENCODINGS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def read_captions(path: str | Path) -> tuple[list[Word], str | None]:
    """The words of a caption file, and its language where the file or its name (``name.en.vtt``) says so.

    Raises ValueError or OSError, with the path and what to do, for a file that is missing or broken.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: captions are read from {', '.join(SUFFIXES)} files")
    try:
        text = _read_text(path)
        cues, language = _json3(text) if path.suffix == ".json3" else _webvtt(text, path.suffix.removeprefix("."))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; make the list of videos again") from None
    except _Broken as error:
        raise ValueError(f"{path}: {error}; mend it, or remove it to have the speech recognised") from None
    return cue_words(cues), language_code(language) or language_code(_name_tag(path))


def language_code(tag: str | None) -> str | None:
    """The code that Whisper has for a language tag ("en-US" is "en"), or None."""
    from whisper.tokenizer import LANGUAGES

    code = re.split("[-_]", tag or "")[0].lower()
    return code if code in LANGUAGES else None


class _Broken(Exception):
    """What is wrong with a caption file."""


def _read_text(path: Path) -> str:
    raw = path.read_bytes()
    if not raw.strip():
        raise _Broken("the file is empty")
    encoding = next((name for mark, name in _ENCODINGS if raw.startswith(mark)), "utf-8")
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def _name_tag(path: Path) -> str | None:
    """``en-US`` of ``name.en-US.vtt``."""
    return path.suffixes[-2].removeprefix(".") if len(path.suffixes) > 1 else None


def _webvtt(text: str, format: str) -> tuple[list[Cue], str | None]:
    import webvtt

    try:
        parsed = webvtt.WebVTT.from_buffer(io.StringIO(text.lstrip()), format=format)
    except (webvtt.errors.MalformedFileError, webvtt.errors.MalformedCaptionError) as error:
        name = "WebVTT" if format == "vtt" else "SubRip"
        raise _Broken(f"not a {name} file ({error})") from None
    cues = []
    for caption in parsed.captions:
        start, end = (stamp.in_milliseconds() / 1000 for stamp in (caption.start_time, caption.end_time))
        first, *rest = _STAMP.split(caption.raw_text)
        pieces = [(start, first)]
        for hours, minutes, seconds, piece in zip(*(rest[i::4] for i in range(4)), strict=True):
            pieces.append((int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds), piece))
        cues.append(Cue(start, end, pieces))
    header = dict(line.partition(": ")[::2] for line in parsed.metadata)
    return cues, header.get("Language")


def _json3(text: str) -> tuple[list[Cue], str | None]:
    """``events`` hold ``segs`` of text, each with its offset in ms; those without text are windows and line feeds."""
    try:
        events = json.loads(text)["events"]
        cues = []
        for event in events:
            start = event.get("tStartMs", 0) / 1000
            pieces = [(start + s.get("tOffsetMs", 0) / 1000, s["utf8"]) for s in event.get("segs", []) if "utf8" in s]
            if any(piece.strip() for _, piece in pieces):
                cues.append(Cue(start, start + event.get("dDurationMs", 0) / 1000, pieces))
    except json.JSONDecodeError as error:
        raise _Broken(f"not JSON ({error})") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise _Broken(f"not YouTube's json3 ({type(error).__name__}: {error})") from None
    return cues, None
