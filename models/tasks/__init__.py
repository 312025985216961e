"""One file a task. A task is a field of the shared stages; importing this package makes every one of them known."""

from models.tasks.aspect_sentiment import JudgeAspects
from models.tasks.classification import ClassifyText, ScoreText
from models.tasks.conditional_lm import ConditionalLM
from models.tasks.dependency_parsing import ParseDependencies
from models.tasks.extractive_summary import ExtractiveSummary
from models.tasks.intent_slots import LabelUtterances
from models.tasks.masked_lm import MaskedLM
from models.tasks.multi_task import MultiTask
from models.tasks.natural_questions import NaturalQuestions
from models.tasks.pairs import ClassifyPairs
from models.tasks.ranking import RankCandidates
from models.tasks.relevance import JudgeRelevance
from models.tasks.span_qa import SpanQA
from models.tasks.tagging import TagWords
from models.tasks.task import Batch, Examples, Row, Task, collate_ids, label_of, pad
from models.tasks.video_text import VideoText

__all__ = [
    "Batch",
    "ClassifyPairs",
    "ClassifyText",
    "ConditionalLM",
    "Examples",
    "ExtractiveSummary",
    "JudgeAspects",
    "JudgeRelevance",
    "LabelUtterances",
    "MaskedLM",
    "MultiTask",
    "NaturalQuestions",
    "ParseDependencies",
    "RankCandidates",
    "Row",
    "ScoreText",
    "SpanQA",
    "TagWords",
    "Task",
    "VideoText",
    "collate_ids",
    "label_of",
    "pad",
]
