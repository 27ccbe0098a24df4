"""A NumPy memmap of all frames behind a torch DataLoader: one window a call, as tutorials do, or a whole batch a call.

The second is what PyTorch's documentation of `torch.utils.data` calls bulk loading: automatic batching off, the
sampler's lists of indices go to the dataset, and NumPy gathers all rows of a batch at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset

from ..windows import LENGTH
from .material import Batch, Cut, Material, Way, endless

NAME, PACKAGE = "NumPy memmap", "numpy"


class Windows(Dataset):
    """A window a call."""

    def __init__(self, path: Path, window: int):
        self.data = np.load(path, mmap_mode="c")  # PyTorch warns of memory that cannot be written to
        self.window, self.half = window, window // 2

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, centre: int) -> Tensor:
        start = centre // LENGTH * LENGTH
        stop = min(start + LENGTH, len(self.data))
        low, high = max(centre - self.half, start), min(centre + self.half + 1, stop)
        values = self.data[low:high]
        if high - low < self.window:
            pad = (low - (centre - self.half), centre + self.half + 1 - high)
            values = np.pad(values, [pad, (0, 0), (0, 0)], mode="edge")
        return torch.from_numpy(np.asarray(values))


class Batches(Windows):
    """A batch a call."""

    def __getitem__(self, centres: list[int]) -> Tensor:  # type: ignore[override]
        middle = np.array(centres)[:, None]
        start = middle // LENGTH * LENGTH
        rows = np.clip(
            middle + np.arange(self.window) - self.half, start, np.minimum(start + LENGTH, len(self.data)) - 1
        )
        return torch.from_numpy(np.asarray(self.data)[rows])


def ways(material: Material) -> dict[str, Way]:
    path = material.folder / "frames.npy"
    np.save(path, material.data)

    def one_by_one(workers: int) -> Iterable[Batch]:
        dataset = Windows(path, material.window)
        loader = DataLoader(
            dataset, material.batch, sampler=endless(dataset), num_workers=workers, persistent_workers=workers > 0
        )
        return Cut(loader)

    def at_once(workers: int) -> Iterable[Batch]:
        dataset = Batches(path, material.window)
        sampler = BatchSampler(endless(dataset), material.batch, drop_last=True)
        loader = DataLoader(
            dataset, batch_size=None, sampler=sampler, num_workers=workers, persistent_workers=workers > 0
        )
        return Cut(loader)

    return {"a window a call": one_by_one, "a batch a call": at_once}
