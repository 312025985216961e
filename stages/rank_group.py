"""The processes that train together. Knows torch.distributed and nothing of what started them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from models.precision import best_device


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together."""

    rank: int
    size: int
    device: torch.device

    def sum(self, values: dict[str, float]) -> dict[str, float]:
        """The values added up over all ranks; every rank passes the same names."""
        if self.size == 1:
            return values
        tensor = torch.tensor([values[k] for k in sorted(values)], dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return dict(zip(sorted(values), tensor.tolist(), strict=True))

    def gather(self, rows: list[Any]) -> list[Any]:
        """The rows of all ranks, those of rank 0 first."""
        if self.size == 1:
            return rows
        gathered: list[Any] = [None] * self.size
        dist.all_gather_object(gathered, rows)
        return [row for part in gathered for row in part]

    def wait(self) -> None:
        """Until every rank is here."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """Join the process group that the environment names, if this is not a lone process."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    device = best_device()
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        torch.cuda.set_device(device)
    if size == 1:
        yield Ranks(0, 1, device)
        return
    mine = not dist.is_initialized()
    if mine:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), device)
    finally:
        if mine:
            dist.destroy_process_group()
