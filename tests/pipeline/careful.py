"""An executor that runs every part as those are run whose worker died twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pipeline import LocalExecutor
from pipeline.executor import Mapper, Resources
from pipeline.parts import Part
from pipeline.tally import Tally


class CarefulExecutor(LocalExecutor):
    """An item at a time: of a part that could be one call, the items it is cut into."""

    def _run_parts(self, make: Callable[[], Mapper], resources: Resources, to_do: list[Part], tally: Tally) -> None:
        super()._run_parts(make, resources, [replace(part, careful=True) for part in to_do], tally)
