"""The command line's options that say where and how wide to run, and how much may go wrong."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

from jsonargparse import Namespace

from pipeline.arguments import Parser
from pipeline.executor import Executor
from pipeline.local import LocalExecutor


def add_executor_options(parser: Parser) -> None:
    """Add them as a group of their own."""
    group = parser.add_argument_group("execution (changes nothing that comes out, but which items are given up)")
    group.add_argument(
        "--executor", type=Literal["local", "ray"], default="local", help="This machine, or a Ray cluster."
    )
    group.add_argument(
        "--workers",
        type=int | None,
        metavar="N",
        help="Worker processes for map stages. By default, none on this machine and on Ray what the cluster holds.",
    )
    group.add_argument(
        "--train-workers", type=int, default=1, metavar="N", help="Processes a training loop is spread over."
    )
    group.add_argument(
        "--max-error-rate",
        type=float,
        default=LocalExecutor.max_error_rate,
        metavar="X",
        help="Share of a stage's items that may fail before the stage does.",
    )
    group.add_argument(
        "--item-timeout-s",
        type=float | None,
        metavar="S",
        help="Seconds without a finished item after which a worker process counts as hung: it is replaced, and the "
        "item becomes an error row.",
    )


def chosen_executor(given: Namespace) -> AbstractContextManager[Executor]:
    """The executor that the parsed options ask for. Nothing is started yet."""
    settings = {name: given[name] for name in ("train_workers", "max_error_rate", "item_timeout_s")}
    if given.executor == "ray":
        from pipeline.cluster import RayExecutor

        return RayExecutor(workers=given.workers, **settings)
    return LocalExecutor(workers=given.workers or 0, **settings)
