"""One file a task. A task is a field of the shared stages; importing this package makes every one of them known."""

from models.sentence_head import head_dropout
from models.tasks.classification import ClassifyText, ScoreText
from models.tasks.dependency_parsing import ParseDependencies
from models.tasks.extractive_summary import ExtractiveSummary
from models.tasks.task import Batch, Examples, Row, Task, collate_ids, pad
from models.tasks.video_text import VideoText

__all__ = [
    "Batch",
    "ClassifyText",
    "Examples",
    "ExtractiveSummary",
    "ParseDependencies",
    "Row",
    "ScoreText",
    "Task",
    "VideoText",
    "collate_ids",
    "head_dropout",
    "pad",
]
