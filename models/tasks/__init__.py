"""One file a task. A task is a field of the shared stages; importing this package makes every one of them known."""

from models.tasks.task import Batch, Examples, Row, Task, collate_ids, head_dropout, pad
from models.tasks.video_text import VideoText

__all__ = ["Batch", "Examples", "Row", "Task", "VideoText", "collate_ids", "head_dropout", "pad"]
