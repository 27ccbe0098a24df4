"""LeRobot's way: Parquet with one row a frame, through Hugging Face datasets, windows by `delta_timestamps`.

`LeRobotDataset` itself needs torchvision and a video decoder; what it does for a window is small and is done here: the
base row says which episode it is of, the frames of the window are cut off at its ends, and the rows are read from the
memory-mapped Arrow table. All rows of a batch are read at once, as `get_items` of LeRobot does, or a slice a window.
Values come as NumPy arrays where LeRobot turns every row into a tensor: that only makes it faster.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..windows import LENGTH
from .material import JOINTS, WIDTH, Batch, Cut, Material, Way, endless

NAME, PACKAGE = "LeRobot-style Parquet", "datasets"
STATE = "observation.state"


class Windows(Dataset):
    """`at_once`: one read a batch, of every row once; else one read a window."""

    def __init__(self, table, material: Material, at_once: bool):
        self.table, self.at_once = table.select_columns(STATE).with_format("numpy"), at_once
        self.window, self.frames = material.window, material.frames

    def __len__(self) -> int:
        return self.frames

    def __getitems__(self, centres: list[int]) -> Tensor:
        middle = np.array(centres)[:, None]
        start = middle // LENGTH * LENGTH
        wanted = middle + np.arange(self.window) - self.window // 2
        rows = np.clip(wanted, start, np.minimum(start + LENGTH, self.frames) - 1)
        if self.at_once:
            needed, place = np.unique(rows, return_inverse=True)
            values = self.table[needed.tolist()][STATE][place.reshape(rows.shape)]
        else:
            values = np.stack([self._slice(row) for row in rows])
        return torch.from_numpy(values.reshape(len(rows), self.window, JOINTS, WIDTH))

    def _slice(self, row: np.ndarray) -> np.ndarray:
        first, last = int(row[0]), int(row[-1])
        values = self.table[first : last + 1][STATE]
        return values if len(values) == self.window else values[row - first]


def ways(material: Material) -> dict[str, Way]:
    import datasets  # pyright: ignore[reportMissingImports]
    import pyarrow as pa
    import pyarrow.parquet as pq

    datasets.disable_progress_bars()
    numbers = np.arange(material.frames)
    state = pa.FixedSizeListArray.from_arrays(pa.array(material.data.reshape(-1)), JOINTS * WIDTH)
    table = pa.table(
        {
            STATE: state,
            "timestamp": (numbers % LENGTH / 50).astype(np.float32),
            "frame_index": numbers % LENGTH,
            "episode_index": numbers // LENGTH,
            "index": numbers,
        }
    )
    path = material.folder / "file-000.parquet"
    pq.write_table(table, path, compression="snappy", use_dictionary=["episode_index"])  # pyright: ignore[reportArgumentType]
    made = datasets.Dataset.from_parquet(str(path), cache_dir=str(material.folder / "cache"))

    def loader(at_once: bool, workers: int) -> Iterable[Batch]:
        dataset = Windows(made, material, at_once)
        return Cut(
            DataLoader(
                dataset,
                material.batch,
                sampler=endless(dataset),
                num_workers=workers,
                persistent_workers=workers > 0,
                collate_fn=_as_it_is,
            )
        )

    return {"a read a batch": partial(loader, True), "a slice a window": partial(loader, False)}


def _as_it_is(windows: Any) -> Any:
    return windows
