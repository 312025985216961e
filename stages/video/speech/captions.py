"""Caption files: WebVTT, SubRip and YouTube's json3."""

from __future__ import annotations

import codecs
import json
import re
from pathlib import Path

from stages.video.speech.cues import Cue, cue_words
from stages.video.speech.words import Word

SUFFIXES = (".json3", ".vtt", ".srt")
"""The best first: the words of .json3 have times of their own. In capitals too."""

_STAMP = r"(?:(\d+):)?([0-5]?\d):([0-5]?\d)(?:[.,](\d{1,3}))?"
"""Hours, minutes, seconds, milliseconds: four groups."""
_TIMES = re.compile(rf"\s*{_STAMP}\s*-->\s*{_STAMP}(?:\s.*)?")
_LIKE_TIMES = re.compile(r"\d:\d.*-->|-->.*\d:\d")
_STAMP_INSIDE = re.compile(f"<{_STAMP}>")
_BLANK_LINE = r"\n[ \t]*\n"
_NO_CUE = re.compile(rf"{_BLANK_LINE}(?:NOTE|STYLE|REGION)(?=\s|\Z).*?(?={_BLANK_LINE}|\Z)", re.DOTALL)
_LANGUAGE = re.compile(r"^Language:(.*)$", re.MULTILINE)
_ENCODINGS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def read_captions(path: str | Path) -> tuple[list[Word], str | None]:
    """The words of a caption file, and its language where the file or its name (``name.en.vtt``) says so.

    Raises ValueError or OSError, with the path and what to do, for a file that is missing or broken.
    """
    path = Path(path)
    read = {".json3": _json3, ".vtt": _webvtt, ".srt": _subrip}.get(path.suffix.lower())
    if read is None:
        raise ValueError(f"{path}: captions are read from {', '.join(SUFFIXES)} files")
    try:
        cues, language = read(_read_text(path))
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


def _webvtt(text: str) -> tuple[list[Cue], str | None]:
    if not text.lstrip().startswith("WEBVTT"):
        raise _Broken("not a WebVTT file (its first line is not WEBVTT)")
    head, blocks = _blocks(text)
    language = _LANGUAGE.search(re.split(_BLANK_LINE, head.lstrip())[0])
    return [_cue(start, end, _NO_CUE.sub("", shown)) for start, end, shown in blocks], language and language[1].strip()


def _subrip(text: str) -> tuple[list[Cue], str | None]:
    _, blocks = _blocks(text)
    if not blocks:
        raise _Broken("not a SubRip file (no line is like 00:00:01,000 --> 00:00:02,000)")
    return [_cue(*block) for block in blocks], None


def _blocks(text: str) -> tuple[str, list[tuple[float, float, str]]]:
    """What stands before the first line of times; for each such line its times and the lines up to the next.

    More is read than WebVTT and SubRip allow, since all of it is about: points or commas in times, cues without a
    number, blank lines within them. _Broken for a line with an arrow and a time which is no line of times.
    """
    lines: list[str] = []
    found = [(0.0, 0.0, lines)]
    for number, line in enumerate(text.splitlines(), start=1):
        times = _TIMES.fullmatch(line)
        if times:
            if lines and (lines[-1].strip().isdigit() or (len(lines) > 1 and not lines[-2].strip())):
                lines.pop()  # the name of the cue that begins
            lines = []
            found.append((_seconds(*times.groups()[:4]), _seconds(*times.groups()[4:]), lines))
        elif "-->" in line and _LIKE_TIMES.search(line):
            raise _Broken(f"line {number}, '{line.strip()}', is not like 00:00:01.000 --> 00:00:02.000")
        else:
            lines.append(line)
    head, *blocks = [(start, end, "\n".join(lines)) for start, end, lines in found]
    return head[2], blocks


def _cue(start_s: float, end_s: float, shown: str) -> Cue:
    first, *rest = _STAMP_INSIDE.split(shown)
    stamps = (_seconds(*rest[i : i + 4]) for i in range(0, len(rest), 5))
    return Cue(start_s, end_s, [(start_s, first), *zip(stamps, rest[4::5], strict=True)])


def _seconds(hours: str | None, minutes: str, seconds: str, milliseconds: str | None) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + int(milliseconds or 0) / 1000


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
