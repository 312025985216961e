"""Pages in Natural Questions' original format, made of paragraphs, lists and tables of a few words."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from models.tasks import NaturalQuestions

Parts = Sequence[tuple[str, str]]
"""Tag and words of each top-level candidate."""
NOTHING = {"start_token": -1, "end_token": -1, "start_byte": -1, "end_byte": -1}


def span(start: int, end: int) -> dict[str, int]:
    """With bytes that are no use to anybody who reads tokens."""
    return {"start_token": start, "end_token": end, "start_byte": 10 * start, "end_byte": 10 * end}


def nq_page(id_: int, question: str, parts: Parts, annotations: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """The page ``<H1> page </H1>``, then every part between its tags, with a nested candidate in every second one."""
    tokens = [("<H1>", True), ("page", False), ("</H1>", True)]
    candidates = []
    for number, (tag, words) in enumerate(parts):
        start = len(tokens)
        inside = [(f"<{tag}>", True), *((w, False) for w in words.split()), (f"</{tag}>", True)]
        tokens += inside
        candidates.append({**span(start, len(tokens)), "top_level": True})
        if number % 2:
            candidates.append({**span(start + 1, len(tokens) - 1), "top_level": False})
    return {
        "example_id": id_,
        "question_text": question,
        "document_title": "page",
        "document_url": "https://example.org/page",
        "document_html": "<html></html>",
        "document_tokens": [
            {"token": t, "html_token": html, "start_byte": 10 * i, "end_byte": 10 * i + 9}
            for i, (t, html) in enumerate(tokens)
        ],
        "long_answer_candidates": candidates,
        "annotations": list(annotations),
    }


def annotation(
    page: dict[str, Any], candidate: int = -1, short: Sequence[tuple[int, int]] = (), yes_no: str = "NONE"
) -> dict[str, Any]:
    """An annotator's answer: a candidate of the page by its number, and short answers as tokens."""
    long = NOTHING if candidate < 0 else page["long_answer_candidates"][candidate]
    return {
        "long_answer": {**{k: long[k] for k in NOTHING}, "candidate_index": candidate},
        "short_answers": [span(*s) for s in short],
        "yes_no_answer": yes_no,
        "annotation_id": 1,
    }


def annotated(page: dict[str, Any], *annotations: dict[str, Any]) -> dict[str, Any]:
    return {**page, "annotations": list(annotations)}


def simplified(page: dict[str, Any]) -> dict[str, Any]:
    """The page as simplify_nq_example makes it of the original."""
    text = " ".join(t["token"].replace(" ", "_") for t in page["document_tokens"])
    kept = ("example_id", "question_text", "document_url", "long_answer_candidates", "annotations")
    return {**{k: page[k] for k in kept}, "document_text": text}


def write_pages(path: Path) -> str:
    """A file with six pages, the fifth of which has no candidate; as the path ends, compressed or not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(6):
        made = nq_page(number - 2, "when stir soup", [("P", f"in 189{number} ."), ("Ul", "now")] if number != 4 else [])
        said = [annotation(made, 0, [(5, 6)]), annotation(made)] if number % 2 else []
        lines.append(json.dumps(annotated(made, *said) if number % 3 else simplified(annotated(made, *said))) + "\n")
    text = "".join(lines).encode()
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
    return str(path)


def answered_pages() -> pa.Table:
    """What Predict writes for three pages: a span, YES, and nothing."""
    common = {"question": "q", "long_given": True, "short_given": True, "type": "SHORT", "n_best": []}
    said = [
        {"id": "-7", "long_start": 3, "long_end": 8, "short": [{"text": "x", "start": 5, "end": 6}], "yes_no": "NONE"},
        {"id": "12", "long_start": 3, "long_end": 8, "short": [], "yes_no": "YES"},
        {"id": "a", "long_start": None, "long_end": None, "short": [], "yes_no": "NONE"},
    ]
    rows = [{**common, **row, "score": 1.5 - i} for i, row in enumerate(said)]
    return pa.Table.from_pylist(rows, NaturalQuestions.prediction_schema)
