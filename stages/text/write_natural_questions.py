"""Answers to Natural Questions in the official file format."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pipeline import Artifact, Executor, Stage
from pipeline.store import read_part, write_atomically

PREDICTIONS = "predictions.json"
BYTES = {"start_byte": -1, "end_byte": -1}
"""Spans are told in tokens."""


@dataclass(frozen=True, kw_only=True)
class WriteNaturalQuestions(Stage):
    """Write answers as the file that Natural Questions' own scorer (nq_eval) and its leaderboard read.

    In   predictions: what Predict wrote for the task NaturalQuestions
    Out  predictions.json: every page's best answers with their score, whatever the thresholds, for the scorer looks for
         the best ones itself
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "predictions": ("id", "long_start", "long_end", "short", "yes_no", "score")
    }

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any]:
        pages = 0
        with (
            write_atomically(out / PREDICTIONS) as temporary,
            temporary.open("w", encoding="utf-8") as file,
        ):
            file.write('{"predictions": [')
            for pages, answer in enumerate(answers(inputs["predictions"]), 1):
                file.write(("\n" if pages == 1 else ",\n") + json.dumps(answer))
            file.write("\n]}\n")
        return {"pages": pages}


def answers(predictions: Artifact) -> Iterator[dict[str, Any]]:
    """The entries of the file, part by part."""
    for part in predictions.parts:
        for row in read_part(part).to_pylist():
            number = row["id"].removeprefix("-").isdecimal()
            yield {
                "example_id": int(row["id"]) if number else row["id"],
                "long_answer": _span(row["long_start"], row["long_end"]),
                "long_answer_score": row["score"],
                "short_answers": [_span(s["start"], s["end"]) for s in row["short"]],
                "short_answers_score": row["score"],
                "yes_no_answer": row["yes_no"],
            }


def _span(start: int | None, end: int | None) -> dict[str, int]:
    """A span in tokens; -1 where there is none."""
    return {"start_token": -1 if start is None else start, "end_token": -1 if end is None else end, **BYTES}
