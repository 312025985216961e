"""What only Ray does. Real clusters on this machine; what Ray shares with other executors is in test_executor.py."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import LocalExecutor, RayExecutor, Resources, Store, UserError
from pipeline import run as make_graph
from pipeline.store import read_part
from tests.pipeline.loops import Job, average_ranks, tell
from tests.pipeline.toys import NUMBERS, Square, SquareNumbers, graph
from tests.runs import DEADLINE_S, ROOT, files

pytestmark = [pytest.mark.ray, pytest.mark.slow]


class CountThreads:
    def __call__(self, rows: pa.Table) -> pa.Table:
        import torch
        from threadpoolctl import threadpool_info

        counts = [torch.get_num_threads(), pa.cpu_count(), *(p["num_threads"] for p in threadpool_info())]
        time.sleep(0.5)
        return pa.table({"group": [str(os.getpid())], "x": [float(max(counts))]})


GPUS = """
import sys
from pathlib import Path
import pyarrow as pa, ray
from pipeline import RayExecutor, Resources
from tests.pipeline.test_cluster import CountThreads
from tests.pipeline.toys import NUMBERS

ray.init("local", num_cpus=5, num_gpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
parts = [[pa.table({"group": [str(i)]})] for i in range(6)]
with RayExecutor() as executor:
    executor.map(CountThreads, parts, Path(sys.argv[1]), schema=NUMBERS, by="group", resources=Resources(gpus=1))
"""


class TestMap:
    def threads(
        self, executor: RayExecutor, out: Path, resources: Resources = Resources(), n_parts: int = 1
    ) -> list[dict]:
        parts = [[pa.table({"group": [str(i)]})] for i in range(n_parts)]
        executor.map(CountThreads, parts, out, schema=NUMBERS, by="group", resources=resources)
        return [row for p in sorted(out.glob("part-*")) for row in read_part(p).to_pylist()]

    @pytest.mark.parametrize(("cpus", "actors"), [(1, 2), (2, 1), (16, 1)])
    def test_the_pool_fits_the_cluster(self, ray_cluster: None, tmp_path: Path, cpus: int, actors: int) -> None:
        """On two cores; each actor has as many threads as cores, and never waits for more than a node has."""
        with RayExecutor() as executor:
            rows = self.threads(executor, tmp_path, Resources(cpus=cpus, gpus=1), n_parts=6)
        assert len({row["group"] for row in rows}) == actors
        assert {row["x"] for row in rows} == {min(cpus, 2)}

    def test_a_gpu_comes_with_its_share_of_the_cores(self, tmp_path: Path) -> None:
        """In a process of its own, on a node that says it has two GPUs and five cores."""
        (tmp_path / "gpus.py").write_text(GPUS)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(tmp_path / "gpus.py"), str(tmp_path / "out")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE_S)
        assert done.returncode == 0, done.stderr
        rows = [row for p in sorted((tmp_path / "out").glob("part-*")) for row in read_part(p).to_pylist()]
        assert len({row["group"] for row in rows}) == 2
        assert {row["x"] for row in rows} == {2}

    def test_actors_make_room_for_others(self, ray_cluster: None, tmp_path: Path) -> None:
        """Idle actors hold cores: a map that needs others, training and another executor must not wait for them."""
        with RayExecutor() as executor:
            self.threads(executor, tmp_path / "a", Resources(cpus=1))
            self.threads(executor, tmp_path / "b", Resources(cpus=2))
            executor.fit(average_ranks, Job(tmp_path))
            self.threads(executor, tmp_path / "c", Resources(cpus=2))
        seen = json.loads((tmp_path / "rank-0.json").read_text())
        assert (seen["mean"], seen["threads"]) == (1.0, 2), "one rank has all cores"
        with RayExecutor() as executor:
            self.threads(executor, tmp_path / "d", Resources(cpus=2))

    def test_a_hung_item_is_found(self, ray_cluster: None, tmp_path: Path) -> None:
        make = partial(Square, SquareNumbers(at=("b",), how="hang"))
        with RayExecutor(workers=1, item_timeout_s=5.0) as executor:
            part = pa.table({"group": list("abc"), "x": [1.0, 2.0, 3.0]})
            executor.map(make, [[part]], tmp_path, schema=NUMBERS, by="group")
        (reason,) = read_part(tmp_path / "errors" / "part-00000.parquet", ["item", "reason"]).to_pylist()
        assert reason == {"item": "b", "reason": "the worker died while processing it (nothing finished for 5 s)"}


class TestFit:
    def test_ranks_form_a_group(self, ray_cluster: None, tmp_path: Path) -> None:
        with RayExecutor(train_workers=2) as executor:
            executor.fit(average_ranks, Job(tmp_path), Resources(gpus=1))
        seen = [json.loads((tmp_path / f"rank-{i}.json").read_text()) for i in range(2)]
        assert [(s["rank"], s["world_size"], s["mean"]) for s in seen] == [(0, 2, 1.5), (1, 2, 1.5)]
        assert [(s["cwd"], s["threads"]) for s in seen] == [(str(Path.cwd()), 1)] * 2

    def test_the_failing_ranks_traceback_is_told(self, ray_cluster: None, tmp_path: Path) -> None:
        interrupt = signal.getsignal(signal.SIGINT)
        with RayExecutor(train_workers=2) as executor, pytest.raises(RuntimeError) as failure:
            executor.fit(average_ranks, Job(tmp_path, fails=1))
        assert str(failure.value) == "training worker 1 failed: ValueError: rank 1 has had enough"
        assert "in average_ranks" in "".join(failure.value.__notes__)
        assert signal.getsignal(signal.SIGINT) is interrupt

    def test_a_rank_that_dies_is_told(self, ray_cluster: None, tmp_path: Path) -> None:
        with RayExecutor(train_workers=2) as executor, pytest.raises(RuntimeError, match="training worker 1 died"):
            executor.fit(average_ranks, Job(tmp_path, fails=1, how="exit"))

    def test_the_first_rank_is_heard(
        self, ray_cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with RayExecutor(train_workers=2) as executor:
            executor.fit(tell, Job(tmp_path))
        said = [line.partition(",")[0] for line in capsys.readouterr().err.splitlines()]
        assert said == ["this is rank 0", *(f"steps: {n}/3 steps ({n / 3:.0%})" for n in (1, 2, 3))]

    def test_more_ranks_than_fit_are_refused(self, ray_cluster: None, tmp_path: Path) -> None:
        with (
            RayExecutor(train_workers=3) as executor,
            pytest.raises(UserError, match="does not hold 3 training workers"),
        ):
            executor.fit(average_ranks, Job(tmp_path))


@pytest.mark.parametrize("given", [{"workers": 0}, {"train_workers": 0}, {"item_timeout_s": 0}, {"max_error_rate": 2}])
def test_settings_are_checked(given: dict[str, int]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(given))} must be"):
        RayExecutor(**given)


SCRIPT = """
import sys
import pyarrow as pa
from pathlib import Path
from pipeline import RayExecutor

class Keep:
    def __call__(self, rows):
        return rows

table = pa.table({"a": [1, 2]})
with RayExecutor(workers=1, address=sys.argv[2]) as executor:
    executor.map(Keep, [[table]], Path(sys.argv[1]), schema=table.schema)
"""


DRIVER = """
import os, sys, torch
from pipeline import RayExecutor
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, range(os.cpu_count()))  # tests may hold one core only
from pipeline.process import cores
RayExecutor()
print("threads", torch.get_num_threads(), "of", cores())
"""


class TestJob:
    """What `ray job submit` starts a driver from holds no core, and Ray limits its threads to one."""

    def threads(self, ray_head: tuple[str, dict[str, str]], folder: Path, *options: str) -> list[str]:
        address, environment = ray_head
        (folder / "driver.py").write_text(DRIVER)
        job = ["env", f"PYTHONPATH={ROOT}", sys.executable, str(folder / "driver.py")]
        submit = ["ray", "job", "submit", "--address", address, *options, "--", *job]
        done = subprocess.run(submit, env=environment, capture_output=True, text=True, timeout=DEADLINE_S)
        assert done.returncode == 0, done.stdout + done.stderr
        (line,) = (line for line in done.stdout.splitlines() if line.startswith("threads "))
        return line.split()

    def test_driver_has_its_cores(self, ray_head: tuple[str, dict[str, str]], tmp_path: Path) -> None:
        said = self.threads(ray_head, tmp_path)
        assert said[1] == said[3]

    def test_threads_that_the_job_asks_for_stay(self, ray_head: tuple[str, dict[str, str]], tmp_path: Path) -> None:
        said = self.threads(ray_head, tmp_path, "--runtime-env-json", '{"env_vars": {"OMP_NUM_THREADS": "1"}}')
        assert said[1] == "1"


class TestOwnCluster:
    def start(self, *command: str) -> subprocess.Popen[str]:
        environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def test_a_script_starts_one_and_says_nothing_of_it(self, tmp_path: Path) -> None:
        """With a mapper of its own, which no actor could import."""
        (tmp_path / "script.py").write_text(SCRIPT)
        run = self.start(str(tmp_path / "script.py"), str(tmp_path / "out"), "local")
        said = run.communicate(timeout=DEADLINE_S)[1]
        assert [line for line in said.splitlines() if not line.startswith("map: ")] == []
        assert run.returncode == 0
        assert read_part(tmp_path / "out" / "part-00000.parquet")["a"].to_pylist() == [1, 2]

    def test_ctrl_c_ends_a_run(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        options = ("--executor", "ray", "--seconds", "3600", "--log", str(log))
        run = self.start("-m", "tests.pipeline.toys", str(tmp_path / "store"), *options)
        end = time.monotonic() + DEADLINE_S
        while not log.exists():
            assert time.monotonic() < end
            time.sleep(0.1)
        os.killpg(run.pid, signal.SIGINT)
        said = run.communicate(timeout=DEADLINE_S)[1]
        assert run.returncode not in (0, None)
        assert "squares  unfinished" in said

    def test_a_run_that_was_killed_goes_on(self, tmp_path: Path) -> None:
        store, log = tmp_path / "store", tmp_path / "log"
        command = ("-m", "tests.pipeline.toys", str(store), "--executor", "ray", "--workers", "1", "--log", str(log))
        run = self.start(*command, "--seconds", "1")
        end = time.monotonic() + DEADLINE_S
        while not (kept := {p: p.stat().st_mtime_ns for p in store.glob("SquareNumbers-*/part-*")}):
            assert time.monotonic() < end
            time.sleep(0.1)
        run.kill()
        run.communicate(timeout=DEADLINE_S)
        assert not list(store.glob("SumGroups-*"))
        again = self.start(*command)
        again.communicate(timeout=DEADLINE_S)
        assert again.returncode == 0
        assert all(p.stat().st_mtime_ns == written for p, written in kept.items())
        make_graph(graph(log=str(log)), Store(tmp_path / "untouched"), LocalExecutor())
        assert files(store) == files(tmp_path / "untouched")

    def test_there_is_none_at_an_address(self, tmp_path: Path) -> None:
        (tmp_path / "script.py").write_text(SCRIPT)
        run = self.start(str(tmp_path / "script.py"), str(tmp_path / "out"), "127.0.0.1:1")
        said = run.communicate(timeout=DEADLINE_S)[1]
        assert "UserError: no Ray cluster at 127.0.0.1:1" in said.splitlines()[-1]
