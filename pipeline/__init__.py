"""What runs stages. Knows nothing of video or BERT."""

from typing import TYPE_CHECKING, Any

from pipeline.errors import StageFailed, UserError
from pipeline.executor import Executor, Mapper, MapReport, Rejected, Resources
from pipeline.graph import Graph, Node, plan, run
from pipeline.local import LocalExecutor
from pipeline.stage import Stage
from pipeline.store import Artifact, Store

if TYPE_CHECKING:
    from pipeline.cluster import RayExecutor

__all__ = [
    "Artifact",
    "Executor",
    "Graph",
    "LocalExecutor",
    "MapReport",
    "Mapper",
    "Node",
    "RayExecutor",
    "Rejected",
    "Resources",
    "Stage",
    "StageFailed",
    "Store",
    "UserError",
    "plan",
    "run",
]


def __getattr__(name: str) -> Any:
    """RayExecutor on first use: importing Ray takes longer than many a run."""
    if name == "RayExecutor":
        from pipeline.cluster import RayExecutor

        return RayExecutor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
