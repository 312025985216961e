"""An executor that runs every part as those are run whose worker died twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from pipeline import LocalExecutor
from pipeline.executor import Mapper, MapReport, Resources
from pipeline.parts import Part, map_part, parts_of
from pipeline.tally import Tally, run_map


class CarefulExecutor(LocalExecutor):
    """In this process, an item at a time: of a part that could be one call, the items it is cut into."""

    def map(
        self,
        make: Callable[[], Mapper],
        parts: Sequence[Sequence[Path | pa.Table]],
        out: Path,
        *,
        schema: pa.Schema,
        by: str | None = None,
        whole: bool = False,
        resources: Resources = Resources(),
        suffix: str = ".parquet",
    ) -> MapReport:
        def run_parts(to_do: list[Part], tally: Tally) -> None:
            mapper = make()
            for part in to_do:
                for event in map_part(mapper, replace(part, careful=True)):
                    tally.hear(event)
                tally.add(part)

        all_parts = parts_of(parts, out, schema=schema, by=by, whole=whole, suffix=suffix)
        return run_map(all_parts, self.max_error_rate, run_parts)
