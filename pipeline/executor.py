"""What an executor is, and the part of its work that is the same everywhere.

``map_part`` runs in a worker and turns one part's inputs into one part; ``run_parts`` runs in the driver and
keeps the workers busy, starts new ones for those that die, and finds the item that kills them. A worker is a
process of this machine (``pipeline.local``) or a Ray actor (``pipeline.cluster``).
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import StageFailed
from pipeline.store import part_metadata, part_rows, read_part, write_part

ERROR_SCHEMA = pa.schema([("item", pa.string()), ("reason", pa.string())])


@dataclass(frozen=True)
class Resources:
    """What one worker needs: ``cpus`` cores (its thread count) and ``gpus`` devices."""

    cpus: int = 1
    gpus: float = 0


@dataclass(frozen=True)
class Rejected:
    """An item that could not be used: its id (for a row of a file, ``file:line``) and the reason."""

    item: str
    reason: str


class Mapper(Protocol):
    """Made once a worker. Called once an item, with the rows of each mapped input; returns the rows of its output.

    Rows that are bad while the item is not come back beside the table. An exception rejects the whole item.
    A mapper may also have ``prefetch(*tables)``: it is called for the next item before the current one runs and
    must return at once, so that reading overlaps with computing.
    """

    def __call__(self, *tables: pa.Table) -> pa.Table | tuple[pa.Table, list[Rejected]]: ...


@dataclass(frozen=True)
class Part:
    """One output part: where its inputs are and how they are cut into items."""

    index: int
    inputs: tuple[Path | pa.Table, ...]
    out: Path
    schema: pa.Schema
    suffix: str
    """The part's format: ``.parquet`` or ``.arrow``."""
    by: str | None
    """Rows with one value in this column are an item; None makes one call of the whole part, and of single rows
    where that raises."""
    careful: bool = False
    """One item at a time, nothing ahead: whoever is running when the worker dies is the culprit."""
    poisonous: tuple[tuple[int, str], ...] = ()
    """Items by position that killed workers, with how they died."""

    @property
    def path(self) -> Path:
        return self.out / f"part-{self.index:05d}{self.suffix}"

    @property
    def errors_path(self) -> Path:
        return self.out / "errors" / f"part-{self.index:05d}.parquet"


@dataclass
class MapReport:
    """What a map did. ``seconds`` is time on the clock; ``skipped`` parts were done before."""

    rows: int = 0
    items: int = 0
    errors: int = 0
    parts: int = 0
    skipped: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class PartReport:
    rows: int
    items: int
    errors: tuple[Rejected, ...] = ()


class Executor(Protocol):
    """Runs mappers over parts and training loops over ranks."""

    def map(
        self,
        make: Callable[[], Mapper],
        parts: Sequence[Sequence[Path | pa.Table]],
        out: Path,
        *,
        schema: pa.Schema,
        by: str | None = None,
        resources: Resources = Resources(),
        suffix: str = ".parquet",
    ) -> MapReport:
        """Write ``out/part-i.parquet`` from ``parts[i]``, for every i whose part is not there yet.

        make       called once a worker; returns a Mapper. Must pickle: a module-level class or function, or a
                   ``functools.partial`` of one.
        parts      for each output part one path or small table an input, zipped where there are several
        schema     of the parts written
        by         see ``Part.by``: a column that every input has
        suffix     ``.arrow`` for parts that are memory-mapped later
        """

    def fit(self, loop: Callable[[Any], None], config: Any, resources: Resources = Resources()) -> None:
        """Run ``loop(config)`` on every rank of a ``torch.distributed`` group (``RANK``, ``WORLD_SIZE``)."""


# ------------------------------------------------------------------------------------------- in the worker


def map_part(mapper: Mapper, part: Part) -> Iterator[int | PartReport]:
    """Run one part, yielding the rows of the first input finished at each step and, last, the report."""
    tables = [read_part(i) if isinstance(i, Path) else i for i in part.inputs]
    poisonous = dict(part.poisonous)
    done: list[pa.Table] = []
    errors: list[Rejected] = []
    n_items = 0

    def call(item: Sequence[pa.Table]) -> None:
        result = mapper(*item)
        table, rejected = result if isinstance(result, tuple) else (result, [])
        done.append(_cast(table, part.schema))
        errors.extend(rejected)

    if part.by is None and not part.careful:
        try:
            call(tables)
        except Exception as error:
            if len(tables) > 1:
                raise RuntimeError(f"{part.path.name}: {_reason(error)} (several inputs need `by`)") from error
            done.clear()
            errors.clear()
        else:
            n_items = tables[0].num_rows
            yield tables[0].num_rows
    if n_items == 0:
        items = list(cut(tables, part.by))
        n_items = len(items)
        prefetch = None if part.careful else getattr(mapper, "prefetch", None)
        if prefetch and items:
            prefetch(*items[0][1])
        for position, (name, item) in enumerate(items):
            if prefetch and position + 1 < len(items):
                prefetch(*items[position + 1][1])
            if position in poisonous:
                errors.append(Rejected(name, poisonous[position]))
            else:
                try:
                    call(item)
                except Exception as error:
                    errors.append(Rejected(name, _reason(error)))
            yield item[0].num_rows
    table = pa.concat_tables(done) if done else part.schema.empty_table()
    table = table.replace_schema_metadata({"items": str(n_items)})
    if errors:
        rows = pa.Table.from_pylist([{"item": e.item, "reason": e.reason} for e in errors], ERROR_SCHEMA)
        write_part(part.errors_path, rows)
    write_part(part.path, table)
    yield PartReport(table.num_rows, n_items, tuple(errors))


def cut(tables: Sequence[pa.Table], by: str | None) -> Iterator[tuple[str, tuple[pa.Table, ...]]]:
    """Name and rows of every item, in the order of the first table."""
    first = tables[0]
    if by is None:
        for row in range(first.num_rows):
            yield str(first.column(0)[row].as_py()), (first.slice(row, 1),)
        return
    for value in pc.unique(first[by]).to_pylist():
        yield str(value), tuple(t.filter(pc.equal(t[by], pa.scalar(value, t[by].type))) for t in tables)


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    missing = [n for n in schema.names if n not in table.column_names]
    if missing:
        raise TypeError(f"the mapper's table lacks {', '.join(missing)}")
    return table.select(schema.names).cast(schema)


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    plain = isinstance(error, (ValueError, OSError)) and text
    return text if plain else f"{type(error).__name__}: {text}" if text else type(error).__name__


# ------------------------------------------------------------------------------------------- in the driver


class WorkerDied(RuntimeError):
    """The worker is gone (a crashed decoder, the kernel's memory killer); says how."""


class Worker(Protocol):
    """Runs parts one after another; ``run`` raises WorkerDied when the process behind it is gone."""

    def run(self, make: Callable[[], Mapper], part: Part) -> Iterator[int | PartReport]: ...

    def close(self) -> None: ...


@dataclass
class PartQueue:
    """Drives workers over parts, one thread a worker.

    A part whose worker died is tried once more. When that one dies too, the part is run item by item, and every
    item during which a fresh worker dies becomes an error row.
    """

    make: Callable[[], Mapper]
    start_worker: Callable[[], Worker]
    advance: Callable[[int], None]
    idle: list[Worker] = field(default_factory=list)
    """Workers left from an earlier map; the survivors of this one are put back."""
    reports: dict[int, PartReport] = field(default_factory=dict)

    def run(self, parts: Iterable[Part], n_workers: int) -> dict[int, PartReport]:
        """Reports by part index. Raises what a worker raised other than for an item."""
        self._waiting: queue.SimpleQueue[Part] = queue.SimpleQueue()
        parts = list(parts)
        for part in parts:
            self._waiting.put(part)
        self._failure: BaseException | None = None
        threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(min(n_workers, len(parts)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():  # a plain join would hold back Ctrl-C
                thread.join(timeout=0.5)
        if self._failure is not None:
            raise self._failure
        return self.reports

    def _serve(self) -> None:
        worker: Worker | None = self.idle.pop() if self.idle else None
        try:
            while self._failure is None:
                try:
                    part = self._waiting.get_nowait()
                except queue.Empty:
                    break
                worker = self._finish(part, worker)
        except BaseException as failure:
            self._failure = failure
        if worker is not None:
            self.idle.append(worker)

    def _finish(self, part: Part, worker: Worker | None) -> Worker:
        deaths = 0
        while True:
            worker = worker or self.start_worker()
            steps = rows = 0
            try:
                for event in worker.run(self.make, part):
                    if isinstance(event, PartReport):
                        self.reports[part.index] = event
                        return worker
                    steps, rows = steps + 1, rows + event
                    self.advance(event)
            except WorkerDied as death:
                worker.close()
                worker = None
                self.advance(-rows)
                deaths += 1
                if part.careful:
                    if steps in dict(part.poisonous):
                        raise StageFailed(f"workers keep dying while {part.path} is written ({death})") from death
                    reason = f"the worker died while processing it ({death})"
                    part = replace(part, poisonous=(*part.poisonous, (steps, reason)))
                elif deaths == 2:
                    part = replace(part, careful=True)


def run_map(
    part_inputs: Sequence[Sequence[Path | pa.Table]],
    out: Path,
    schema: pa.Schema,
    by: str | None,
    suffix: str,
    max_error_rate: float,
    run_parts: Callable[[list[Part]], dict[int, PartReport]],
) -> MapReport:
    """The frame of every executor's ``map``: skip what is done, run the rest, count, and judge the errors."""
    started = time.perf_counter()
    parts = [Part(i, tuple(inputs), out, schema, suffix, by) for i, inputs in enumerate(part_inputs)]
    out.mkdir(parents=True, exist_ok=True)
    to_do = [p for p in parts if not p.path.is_file()]
    if to_do:
        run_parts(to_do)
    report = MapReport(parts=len(parts), skipped=len(parts) - len(to_do))
    reasons: list[str] = []
    for part in parts:
        report.rows += part_rows(part.path)
        report.items += int(part_metadata(part.path)[b"items"])
        if part.errors_path.is_file():
            rejected = read_part(part.errors_path).to_pylist()
            report.errors += len(rejected)
            reasons += [f"{r['item']}: {r['reason']}" for r in rejected[: 3 - len(reasons)]]
    report.seconds = time.perf_counter() - started
    if report.errors > max_error_rate * max(report.items, 1):
        raise StageFailed(
            f"{report.errors} of {report.items} items failed, more than max_error_rate = {max_error_rate:g} allows. "
            f"The first: {'; '.join(reasons)}"
        )
    return report


def count_rows(parts: Iterable[Part]) -> int:
    """Rows of the first input over ``parts``: the total that progress counts towards."""
    firsts = (p.inputs[0] for p in parts)
    return sum(part_rows(f) if isinstance(f, Path) else f.num_rows for f in firsts)
