"""One JSON file with the captions of many videos: HowTo100M's and YouCook II's.

HowTo100M's ``caption.json`` has gigabytes, so it is never parsed whole: one pass notes where the entry of each video
lies in the file, and an entry is read when its video's turn comes.
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.video.speech.cues import Cue, cue_words
from stages.video.speech.sentences import Sentence
from stages.video.speech.words import Word

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_FLAT_LIST = rb'\[(?:[^"\[\]{}]++|' + _STRING + rb")*+\]"
"""Most of the file: passed over in one step."""
_TOKEN = re.compile(_STRING + b"|" + _FLAT_LIST + rb"|[{}\[\],]", re.DOTALL)

_COLON = re.compile(rb"\s*:\s*")
_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*")


def find_entries(path: str | Path) -> Iterator[tuple[str, int, int]]:
    """Video id, first byte and size of each entry of ``path``.

    The entries are the values of the outermost object, or of its key ``database`` (YouCook II's annotation file).
    ValueError where the file is no such JSON.
    """
    with Path(path).open("rb") as file:
        try:
            text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise ValueError(f"{path}: the file is empty") from None
        with text:
            begin = _START.match(text)
            try:
                for key, first, size in _values(text, begin.end() if begin else 0):
                    if key == "database":
                        yield from _values(text, first)
                    else:
                        yield key, first, size
            except ValueError as error:
                raise ValueError(f"{path}: {error}; it should be one JSON object with an entry a video") from None


def _values(text: mmap.mmap, start: int) -> Iterator[tuple[str, int, int]]:
    """Key, first byte and size of each value of the object that begins at ``start``."""
    if text[start : start + 1] != b"{":
        raise ValueError(f"no object at byte {start}")
    depth, key, first = 0, b"", 0
    for token in _TOKEN.finditer(text, start):
        mark = token.group()
        if mark[:1] == b'"':
            if depth == 1 and not key:
                colon = _COLON.match(text, token.end())
                if colon is None:
                    raise ValueError(f"no value after {mark.decode(errors='replace')} at byte {token.start()}")
                key, first = mark, colon.end()
        elif mark in (b"{", b"["):
            depth += 1
        elif mark in (b"}", b"]") or (mark == b"," and depth == 1):
            if depth == 1 and key:
                yield json.loads(key), first, token.start() - first
                key = b""
            if mark != b",":
                depth -= 1
            if depth == 0:
                return
    raise ValueError(f"the object at byte {start} does not end")


def read_entry(path: str | Path, first: int, size: int) -> list[Word] | list[Sentence]:
    """One entry: the sentences of an annotated video, the words of a recognised one.

    Known are {"start": […], "end": […], "text": […]} (HowTo100M), {"timestamps": [[start, end], …], "sentences": […]}
    (YouCook II and ActivityNet Captions) and {"annotations": [{"segment": [start, end], "sentence": …}, …]}
    (YouCook II). Seconds all. ValueError for any other.
    """
    with Path(path).open("rb") as file:
        file.seek(first)
        raw = file.read(size)
    try:
        entry = json.loads(raw)
        if "annotations" in entry:
            return _annotated([(*a["segment"], a["sentence"]) for a in entry["annotations"]])
        if "sentences" in entry:
            times = entry["timestamps"]
            return _annotated([(*t, s) for t, s in zip(times, entry["sentences"], strict=True)])
        return _recognised(list(zip(entry["start"], entry["end"], entry["text"], strict=True)))
    except (KeyError, TypeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(
            f"{path}: the entry at byte {first} is in no known form ({reason}): start, end and text, or timestamps "
            "and sentences, or annotations"
        ) from None


def _annotated(rows: list[tuple[Any, ...]]) -> list[Sentence]:
    found = [Sentence(float(start), float(end), " ".join(text.split())) for start, end, text in rows]
    return sorted(s for s in found if s.text)


def _recognised(rows: list[tuple[Any, Any, Any]]) -> list[Word]:
    cues = [Cue(float(start), float(end), [(float(start), text)]) for start, end, text in rows if isinstance(text, str)]
    return cue_words(cues)
