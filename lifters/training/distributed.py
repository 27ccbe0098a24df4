"""Several processes that train one lifter, as torchrun starts them; without torchrun, this process alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from .setup import device_of


@dataclass(frozen=True)
class Team:
    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Return whether this process writes files and shows progress."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """Average gradients over the team."""
        if self.size == 1:
            return model
        return DistributedDataParallel(model, [self.device] if self.device.type == "cuda" else None)

    def summed(self, values: Sequence[float]) -> list[float]:
        """Add up each value over the team."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(tensor)
        return tensor.tolist()

    def any(self, flag: bool) -> bool:
        """Return whether it is true in any process of the team: none stops alone."""
        return self.summed([float(flag)])[0] > 0

    def wait(self) -> None:
        if self.size > 1:
            distributed.barrier()


@contextmanager
def team(device: str) -> Iterator[Team]:
    """Join the team of this process; under torchrun, "auto" and "cuda" are the GPU of its local rank."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    if size > 1 and device in ("auto", "cuda") and torch.cuda.is_available():
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    mine = device_of(device)
    if size == 1:
        yield Team(0, 1, mine)
        return
    if mine.type == "cuda":
        torch.cuda.set_device(mine)
    distributed.init_process_group("nccl" if mine.type == "cuda" else "gloo")
    try:
        yield Team(rank, size, mine)
    finally:
        distributed.destroy_process_group()
