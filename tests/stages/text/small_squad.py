"""A file in SQuAD's format with questions about one sentence a paragraph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

THINGS = ("soup", "cafe", "ting", "12", "the")


def paragraph(number: int) -> dict[str, Any]:
    """A context of one to several sentences and a question to it; every fourth has no answer."""
    thing = THINGS[number % len(THINGS)]
    context = f"now stir now cut {thing} . " + "cut now stir " * (number % 3)
    asked = {"id": f"q{number}", "question": "stir" if number % 4 else "soup soup"}
    answers = [{"text": thing, "answer_start": context.index(thing)}] if number % 4 else []
    return {"context": context, "qas": [asked | {"answers": answers, "is_impossible": not answers}]}


def write_articles(path: Path, articles: int) -> str:
    """Articles of four paragraphs each. The answer to question q1 is not at its offset."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = [{"title": f"a{i}", "paragraphs": [paragraph(4 * i + j) for j in range(4)]} for i in range(articles)]
    data[0]["paragraphs"][1]["qas"][0]["answers"][0]["answer_start"] += 1
    path.write_text(json.dumps({"version": "2.0", "data": data}))
    return str(path)
