"""What runs stages. Knows nothing of video or BERT."""

from pipeline.errors import StageFailed, UserError
from pipeline.executor import Executor, Mapper, MapReport, Rejected, Resources
from pipeline.graph import Graph, Node, plan, run
from pipeline.local import LocalExecutor
from pipeline.stage import Stage
from pipeline.store import Artifact, Store

__all__ = [
    "Artifact",
    "Executor",
    "Graph",
    "LocalExecutor",
    "MapReport",
    "Mapper",
    "Node",
    "Rejected",
    "Resources",
    "Stage",
    "StageFailed",
    "Store",
    "UserError",
    "plan",
    "run",
]
