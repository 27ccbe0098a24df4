"""The frames that every rival reads, their windows, and a check that a batch has those and no other.

One array (frames, 17, 9) float32: keypoints, score, UADD and target of a joint side by side. A rival reads a window of
it at once and not in four parts, which makes it faster; it cuts the four out as views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset, RandomSampler

from auglift.stores.format.layout import StoreLayout
from auglift.stores.format.schema import field
from auglift.stores.reading.store import FeatureStore

from ..windows import LENGTH, SHARD, begin

FIELDS = ("keypoints", "score", "uadd/paper", "target/pose3d")
CHANNELS = {"keypoints": slice(0, 2), "score": 2, "uadd/paper": slice(3, 6), "target/pose3d": slice(6, 9)}
JOINTS, WIDTH = 17, 9

Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Material:
    """What a rival is made from.

    folder   for the rival's own files
    data     (frames, 17, 9) float32; channel 0 of joint 0 is the frame's number
    window   frames, odd
    batch    windows
    written  windows that a format is given which holds windows and not frames: as many as fit in the page cache
    """

    folder: Path
    data: np.ndarray
    window: int
    batch: int
    written: int

    @property
    def frames(self) -> int:
        return len(self.data)

    @property
    def offsets(self) -> np.ndarray:
        return np.arange(self.window) - self.window // 2

    def rows(self, centres: np.ndarray) -> np.ndarray:
        """Return (n, T) int64: the frames of windows, the edges of a sequence replicated."""
        start = centres[:, None] // LENGTH * LENGTH
        wanted = centres[:, None] + self.offsets
        return np.clip(wanted, start, np.minimum(start + LENGTH, self.frames) - 1)

    def some_windows(self) -> np.ndarray:
        """Return (written,) int64: the centres of windows drawn at random, for a format that holds windows."""
        drawn = np.random.default_rng(1).permutation(self.frames)
        return drawn[: self.written]


# A loader of one epoch of batches, for so many workers.
Way = Callable[[int], Iterable[Batch]]


class Cut:
    """A loader whose batches of windows (B, T, 17, 9) are cut into the four fields, as views.

    key   where a batch holds the windows, if it is a mapping
    """

    def __init__(self, loader: Iterable, key: str | None = None):
        self.loader, self.key = loader, key

    def __iter__(self) -> Iterator[Batch]:
        for windows in self.loader:
            windows = windows if self.key is None else windows[self.key]
            yield {name: windows[..., channels] for name, channels in CHANNELS.items()}


def frames_of_people(frames: int) -> np.ndarray:
    """People who drift about, values as a detector's."""
    rng = np.random.default_rng(0)
    data = 5 + np.cumsum(rng.standard_normal((frames, JOINTS, WIDTH), dtype=np.float32), axis=0, dtype=np.float32)
    data[:, 0, 0] = np.arange(frames)
    return data


def make_store(path: Path, data: np.ndarray) -> FeatureStore:
    """The store that we read; every frame is valid."""
    layout = StoreLayout(tuple(field(name) for name in (*FIELDS, "valid")), len(data), SHARD)
    writer = begin(path, layout)
    for shard in range(layout.shards):
        start, stop = layout.bounds(shard)
        arrays = {name: np.ascontiguousarray(data[start:stop, :, CHANNELS[name]]) for name in FIELDS}
        arrays["valid"] = np.ones(stop - start, dtype=np.uint8)
        writer.write(shard, arrays, {"frames": stop - start, "valid": stop - start})
    writer.finalise({})
    return FeatureStore.open(path)


def check(batch: Batch, material: Material, sequences: bool = True) -> None:
    """RuntimeError unless every window of a batch is a window of these frames, in every field.

    sequences   False: a window may cross from one sequence into the next
    """
    numbers = batch["keypoints"][..., 0, 0].numpy().astype(np.int64)
    centres = numbers[:, material.window // 2]
    rows = material.rows(centres) if sequences else centres[:, None] + material.offsets
    if rows.shape != numbers.shape or (rows != numbers).any():
        raise RuntimeError("a batch holds what is no window of the frames given")
    for name, channels in CHANNELS.items():
        if not np.array_equal(batch[name].numpy(), material.data[rows][..., channels]):
            raise RuntimeError(f"'{name}' of a batch is not that of its frames")


def endless(dataset: Dataset) -> RandomSampler:
    """Shuffle; an epoch is long, so that what its beginning costs is not measured in place of its batches."""
    return RandomSampler(dataset, num_samples=max(len(dataset), 1 << 20))  # type: ignore[arg-type]
