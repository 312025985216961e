"""Real processes on this machine: killed, interrupted, hung, two at once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline import LocalExecutor, UserError
from pipeline.process import cores
from pipeline.store import read_part
from tests.pipeline.loops import Job, average_ranks
from tests.pipeline.toys import NUMBERS, Square, SquareNumbers
from tests.runs import ROOT, files

DEADLINE_S = 60


def start(store: Path, *options: str, program: str = "-m tests.pipeline.toys") -> subprocess.Popen[str]:
    """A run of the toys' graph in a process group of its own, as a terminal would start it."""
    command = [sys.executable, *program.split(), str(store), *options]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # An orphan that has ended stays as a zombie where no init process collects it.
        return not Path("/proc").is_dir() or "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run that nobody disturbs writes."""
    store = tmp_path_factory.mktemp("store")
    assert start(store).wait(DEADLINE_S) == 0
    return files(store)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_killed_again_and_again_a_run_ends_with_the_same_bytes(
    workers: int, tmp_path: Path, untouched: dict[str, bytes]
) -> None:
    """SIGKILL at drawn moments: twice in the middle of a part, then anywhere. What was there stays as it was."""
    store, log, draw = tmp_path / "store", tmp_path / "log", random.Random(workers)
    options = ("--workers", str(workers), "--seconds", "0.1", "--log", str(log))
    log.touch()
    kept: dict[Path, int] = {}
    for kills in range(8):
        run = start(store, *options)
        assert run.stderr is not None
        run.stderr.readline()
        if kills < 2:
            squared = log.read_text().count("\n") + draw.randint(2, 4)
            wait_until(lambda run=run, n=squared: log.read_text().count("\n") >= n or run.poll() is not None)
            time.sleep(draw.uniform(0, 0.1))
        else:
            time.sleep(draw.uniform(0, 1.5))
        run.kill()
        run.stderr.close()
        assert all(part.stat().st_mtime_ns == written for part, written in kept.items())
        if run.wait() == 0:
            break
        kept = {p: p.stat().st_mtime_ns for p in store.glob("*/part-*")}
    else:
        assert start(store, *options).wait(DEADLINE_S) == 0
    assert kills >= 2
    assert files(store) == untouched
    wait_until(lambda: not any(is_running(int(line.split()[0])) for line in log.read_text().splitlines()))


@pytest.mark.slow
def test_two_runs_on_one_store_at_once_share_the_work(tmp_path: Path, untouched: dict[str, bytes]) -> None:
    store, log = tmp_path / "store", tmp_path / "log"
    runs = [start(store, "--workers", "1", "--seconds", "0.1", "--log", str(log)) for _ in range(2)]
    said = [run.communicate(timeout=DEADLINE_S)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert files(store) == untouched
    assert len(log.read_text().splitlines()) == 12, "every group was squared once"
    assert any("waiting for another run that makes it" in s for s in said)


def test_workers_end_with_their_parent_in_the_middle_of_an_item(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run = start(tmp_path / "store", "--workers", "2", "--seconds", "3600", "--log", str(log))
    wait_until(lambda: log.exists() and len(log.read_text().splitlines()) == 2)
    workers = [int(line.split()[0]) for line in log.read_text().splitlines()]
    assert all(map(is_running, workers))
    run.kill()
    wait_until(lambda: not any(map(is_running, workers)))


def test_ctrl_c_ends_a_run_and_its_workers_at_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run = start(tmp_path / "store", "--workers", "2", "--seconds", "3600", "--log", str(log))
    wait_until(lambda: log.exists() and len(log.read_text().splitlines()) == 2)
    os.killpg(run.pid, signal.SIGINT)
    said = run.communicate(timeout=DEADLINE_S)[1]
    assert run.returncode != 0
    assert said.count("Traceback") == 1, "the workers say nothing"
    assert "squares  unfinished" in said
    assert not any(is_running(int(line.split()[0])) for line in log.read_text().splitlines())


def test_a_hung_item_is_found(tmp_path: Path) -> None:
    make = partial(Square, SquareNumbers(at=("b",), how="hang"))
    with LocalExecutor(workers=1, item_timeout_s=1.0) as executor:
        part = pa.table({"group": list("abc"), "x": [1.0, 2.0, 3.0]})
        executor.map(make, [[part]], tmp_path, schema=NUMBERS, by="group")
    (reason,) = read_part(tmp_path / "errors" / "part-00000.parquet", ["item", "reason"]).to_pylist()
    assert reason == {"item": "b", "reason": "the worker died while processing it (nothing finished for 1 s)"}


class CountThreads:
    def __call__(self, rows: pa.Table) -> pa.Table:
        import torch
        from threadpoolctl import threadpool_info

        np.ones((2, 2)) @ np.ones((2, 2))
        counts = [torch.get_num_threads(), pa.cpu_count(), *(p["num_threads"] for p in threadpool_info())]
        return pa.table({"group": rows["group"], "x": [float(max(counts))]})


def share_cores(out: Path) -> None:
    """A worker for each of two cores, and a rank for each: both write how many threads they have."""
    with LocalExecutor(workers=2, train_workers=2) as executor:
        executor.map(CountThreads, [[pa.table({"group": ["a"]})]], out, schema=NUMBERS, by="group")
        executor.fit(average_ranks, Job(out))


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or (os.cpu_count() or 1) < 2, reason="needs two cores to choose"
)
def test_workers_share_the_cores(tmp_path: Path) -> None:
    """In a program of its own: these tests run with one core and one thread, where all have one anyhow."""
    program = (
        "import os, sys; from pathlib import Path; os.sched_setaffinity(0, {0, 1})\n"
        "from tests.pipeline.test_local import share_cores; share_cores(Path(sys.argv[1]))"
    )
    free = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, env=free, check=True)
    assert read_part(tmp_path / "part-00000.parquet")["x"].to_pylist() == [1.0]
    assert [json.loads((tmp_path / f"rank-{i}.json").read_text())["threads"] for i in range(2)] == [1, 1]


@pytest.mark.parametrize(
    ("script", "succeeds"),
    [("if __name__ == '__main__':\n    main()", True), ("main()", False)],
    ids=["with the usual guard", "without"],
)
def test_a_users_script_may_use_workers(script: str, succeeds: bool, tmp_path: Path) -> None:
    """With mappers of its own, which the workers find in the script."""
    program = tmp_path / "script.py"
    program.write_text(
        "import sys\n"
        "import pyarrow as pa\n"
        "from pathlib import Path\n"
        "from pipeline import LocalExecutor\n"
        "class Keep:\n"
        "    def __call__(self, rows):\n"
        "        return rows\n"
        "def main():\n"
        "    table = pa.table({'a': [1, 2]})\n"
        "    with LocalExecutor(workers=2) as executor:\n"
        "        executor.map(Keep, [[table], [table]], Path(sys.argv[1]), schema=table.schema)\n"
        f"{script}\n"
    )
    run = start(tmp_path / "out", program=str(program))
    said = run.communicate(timeout=DEADLINE_S)[1]
    assert (run.returncode == 0) == succeeds
    if not succeeds:
        assert said.splitlines()[-1].endswith('a script needs `if __name__ == "__main__":` around what it runs')


def test_a_script_that_runs_a_graph_without_the_usual_guard_ends(tmp_path: Path) -> None:
    program = tmp_path / "script.py"
    program.write_text(
        "import sys\n"
        "from pipeline import Graph, LocalExecutor, Store, run\n"
        "from stages.text.read_sentences import ReadSentences\n"
        "graph = Graph()\n"
        "graph.add('texts', ReadSentences(texts=__file__))\n"
        "run(graph, Store(sys.argv[1]), LocalExecutor(workers=2))\n"
    )
    script = start(tmp_path / "out", program=str(program))
    said = script.communicate(timeout=DEADLINE_S)[1]
    assert script.returncode != 0
    assert said.splitlines()[-1].endswith('a script needs `if __name__ == "__main__":` around what it runs')


@pytest.mark.parametrize(
    "given",
    [{"workers": -1}, {"train_workers": 0}, {"item_timeout_s": 0}, {"item_timeout_s": -1}, {"max_error_rate": 2}],
)
def test_settings_are_checked(given: dict[str, int]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(given))} must be"):
        LocalExecutor(**given)


class TestFit:
    @pytest.fixture
    def ranks(self) -> Iterator[LocalExecutor]:
        with LocalExecutor(train_workers=2) as executor:
            yield executor

    def test_one_worker_is_this_process(self, tmp_path: Path) -> None:
        LocalExecutor().fit(average_ranks, Job(tmp_path))
        assert json.loads((tmp_path / "rank-0.json").read_text())["mean"] == 1.0

    def test_ranks_form_a_group(self, ranks: LocalExecutor, tmp_path: Path) -> None:
        ranks.fit(average_ranks, Job(tmp_path))
        seen = [json.loads((tmp_path / f"rank-{i}.json").read_text()) for i in range(2)]
        assert [(s["rank"], s["world_size"], s["mean"]) for s in seen] == [(0, 2, 1.5), (1, 2, 1.5)]
        assert [s["threads"] for s in seen] == [max(1, cores() // 2)] * 2

    def test_the_failing_ranks_traceback_is_told(self, ranks: LocalExecutor, tmp_path: Path) -> None:
        with pytest.raises(
            RuntimeError, match="training worker 1 failed: ValueError: rank 1 has had enough"
        ) as failure:
            ranks.fit(average_ranks, Job(tmp_path, fails=1))
        assert "in average_ranks" in "".join(failure.value.__notes__)

    def test_a_rank_that_dies_is_told(self, ranks: LocalExecutor, tmp_path: Path) -> None:
        with pytest.raises(RuntimeError, match=r"training worker 1 died \(exit status 3\)"):
            ranks.fit(average_ranks, Job(tmp_path, fails=1, how="exit"))

    def test_ranks_end_with_their_parent(self, tmp_path: Path) -> None:
        run = start(tmp_path, program="-m tests.pipeline.loops")
        wait_until(lambda: len(list(tmp_path.glob("rank-*.pid"))) == 2)
        wait_until(lambda: all(p.read_text() for p in tmp_path.glob("rank-*.pid")))
        pids = [int(p.read_text()) for p in tmp_path.glob("rank-*.pid")]
        run.kill()
        wait_until(lambda: not any(map(is_running, pids)))
