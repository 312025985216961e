"""Training loops to run on ranks; as a program, ``python -m tests.pipeline.loops DIR``, two that do not end."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline import LocalExecutor, progress


@dataclass(frozen=True)
class Job:
    out: Path
    """A directory for what the ranks write."""
    fails: int = -1
    """The rank that misbehaves."""
    how: str = "raise"


def average_ranks(job: Job) -> None:
    """Every rank writes what it sees of the group, and the mean of rank + 1 over the group."""
    import torch
    from torch import distributed

    rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    own_group = world_size > 1 and not distributed.is_initialized()
    if own_group:
        distributed.init_process_group("gloo")
    if rank == job.fails:
        if job.how == "exit":
            os._exit(3)
        raise ValueError(f"rank {rank} has had enough")
    value = torch.tensor([rank + 1.0])
    if world_size > 1:
        distributed.all_reduce(value)
    seen = {"rank": rank, "world_size": world_size, "mean": float(value) / world_size, "cwd": str(Path.cwd())}
    seen["threads"] = torch.get_num_threads()
    (job.out / f"rank-{rank}.json").write_text(json.dumps(seen))
    if own_group:
        distributed.destroy_process_group()


def tell(job: Job) -> None:
    """Every rank says who it is and counts three steps; it shows each."""
    progress.LINE_EVERY_S = 0.0
    progress.say(f"this is rank {os.environ.get('RANK', 0)}")
    with progress.counting("steps", 3, "steps") as counter:
        for step in range(3):
            counter.advance(note=f"loss {step}")


def run_for_ever(job: Job) -> None:
    """Every rank writes its process id and does not end."""
    (job.out / f"rank-{os.environ.get('RANK', 0)}.pid").write_text(str(os.getpid()))
    time.sleep(3600)


if __name__ == "__main__":
    LocalExecutor(train_workers=2).fit(run_for_ever, Job(Path(sys.argv[1])))
