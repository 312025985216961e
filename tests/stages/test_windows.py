from __future__ import annotations

from models.tasks import SpanQA, VideoText
from stages.windows import join_windows


def windows(*numbers: int) -> tuple[list[dict], list[dict]]:
    """Examples with these window numbers, each answered by its position."""
    spans = [[{"text": str(i), "start": i, "end": i + 1, "score": float(i)}] for i in range(len(numbers))]
    answers = [{"id": str(i), "question": "?", "null": 0.0, "spans": s} for i, s in enumerate(spans)]
    return [{"window": n} for n in numbers], answers


def test_a_row_begins_with_its_first_window() -> None:
    examples, answers = windows(0, 1, 2, 0, 0, 1)
    joined = join_windows(SpanQA(), examples, answers)
    assert [(row["id"], row["answer"]) for row in joined] == [("0", "2"), ("3", "3"), ("4", "5")]


def test_a_row_whose_first_windows_are_missing_is_a_row() -> None:
    examples, answers = windows(1, 2, 0)
    assert [row["answer"] for row in join_windows(SpanQA(), examples, answers)] == ["1", "2"]


def test_tasks_without_windows_have_an_answer_an_example() -> None:
    answers = [{"masks": []}, {"masks": [1]}]
    assert join_windows(VideoText(), [{}, {}], answers) == answers
