"""A page of Natural Questions as a row: what can answer (the candidates' words), and what annotators said.

Both formats are known: the original, whose ``document_tokens`` say what is HTML, and the simplified one, whose
``document_text`` is the same tokens joined by blanks. Spans are of tokens, the end exclusive.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

SPAN = pa.struct([("start", pa.int32()), ("end", pa.int32())])
CANDIDATE = pa.struct(
    [
        ("index", pa.int32()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("kind", pa.string()),
        ("words", pa.string()),
        ("tokens", pa.list_(pa.int32())),
    ]
)
"""A top-level candidate with words: its number among all candidates of the page, its span, "Paragraph", "Table", "List"
or "Other", its words without HTML, joined by blanks, and which token of the page each of them is."""
ANNOTATION = pa.struct(
    [
        ("candidate", pa.int32()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("short", pa.list_(SPAN)),
        ("yes_no", pa.string()),
    ]
)
"""What one annotator said: the long answer's candidate and span (-1 where there is none), the short answers, and "YES",
"NO" or "NONE"."""
PAGE = pa.schema(
    [
        ("id", pa.string()),
        ("question", pa.string()),
        ("title", pa.string()),
        ("candidates", pa.list_(CANDIDATE)),
        ("annotations", pa.list_(ANNOTATION)),
        ("split", pa.string()),
    ]
)
"""``annotations`` are null where nobody annotated the page."""

KINDS = {"<Table>": "Table", "<P>": "Paragraph", "<Ul>": "List", "<Dl>": "List", "<Ol>": "List"}
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
YES_NO = ("YES", "NO", "NONE")


def page(entry: Mapping[str, Any], split: str | None = None) -> dict[str, Any]:
    """The row of a line of either format. ValueError says what the line lacks."""
    if not isinstance(entry, Mapping) or "example_id" not in entry:
        raise ValueError("not a page of Natural Questions: it has no example_id")
    question = entry.get("question_text")
    if not isinstance(question, str) or not question.strip():
        raise ValueError("it has no question_text")
    try:
        tokens, words = _tokens(entry)
        candidates = _candidates(entry["long_answer_candidates"], tokens, words)
        annotations = _annotations(entry)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a page of Natural Questions ({type(error).__name__}: {error})") from None
    if not candidates:
        raise ValueError("the page has no top-level candidate with words, so nothing on it can answer")
    return {
        "id": str(entry["example_id"]),
        "question": question,
        "title": _title(entry),
        "candidates": candidates,
        "annotations": annotations,
        "split": split,
    }


def unread_page(entry: Any, split: str) -> dict[str, Any] | None:
    """The row of a line that ``page`` refuses, without candidates: nothing is answered, and what annotators said
    counts. None where the line has no id."""
    if not isinstance(entry, Mapping) or "example_id" not in entry:
        return None
    try:
        annotations = _annotations(entry)
    except (KeyError, TypeError, AttributeError, ValueError):
        annotations = None
    names = {"id": str(entry["example_id"]), "question": str(entry.get("question_text") or ""), "title": _title(entry)}
    return {**names, "candidates": [], "annotations": annotations, "split": split}


def _title(entry: Mapping[str, Any]) -> str | None:
    title = entry.get("document_title")
    return None if title is None else str(title)


def _tokens(entry: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Every token as it stands, and as a word: without blanks inside, empty where it is HTML."""
    if "document_tokens" in entry:
        tokens = [t["token"] for t in entry["document_tokens"]]
        return tokens, ["" if t["html_token"] else t["token"].replace(" ", "") for t in entry["document_tokens"]]
    if "document_text" in entry:
        tokens = entry["document_text"].split(" ")
        return tokens, ["" if _TAG.fullmatch(t) else t for t in tokens]
    raise ValueError("it has neither document_tokens (the original format) nor document_text (the simplified one)")


def _candidates(all_: Sequence[Mapping[str, Any]], tokens: Sequence[str], words: Sequence[str]) -> list[dict[str, Any]]:
    """Those of the top level that have a word."""
    found = []
    for index, candidate in enumerate(all_):
        if not candidate["top_level"]:
            continue
        start, end = candidate["start_token"], candidate["end_token"]
        if not 0 <= start < end <= len(tokens):
            raise ValueError(f"candidate {index} is [{start}, {end}), but the page has {len(tokens)} tokens")
        inside = [i for i in range(start, end) if words[i]]
        if inside:
            found.append(
                {
                    "index": index,
                    "start": start,
                    "end": end,
                    "kind": KINDS.get(tokens[start], "Other"),
                    "words": " ".join(words[i] for i in inside),
                    "tokens": inside,
                }
            )
    return found


def _annotations(entry: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    return [_annotation(a, entry["long_answer_candidates"]) for a in entry.get("annotations") or ()] or None


def _annotation(annotation: Mapping[str, Any], candidates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    long, yes_no = annotation["long_answer"], annotation["yes_no_answer"].upper()
    if yes_no not in YES_NO:
        raise ValueError(f"yes_no_answer is '{annotation['yes_no_answer']}', not one of {', '.join(YES_NO)}")
    start, end = int(long["start_token"]), int(long["end_token"])
    index = long.get("candidate_index")
    if index is None:  # as the simplified format is described; as it is published, it has the index
        spans = [(c["start_token"], c["end_token"]) for c in candidates]
        index = spans.index((start, end)) if (start, end) in spans else -1
    short = [{"start": int(s["start_token"]), "end": int(s["end_token"])} for s in annotation["short_answers"]]
    return {"candidate": int(index), "start": start, "end": end, "short": short, "yes_no": yes_no}
