"""WebDataset: tar shards with a window a sample, or with a sequence a sample that the pipeline cuts into windows.

As its documentation recommends: shards shuffled, then samples in a buffer, batches made in the pipeline, and
`WebLoader` with `batch_size=None`. The second form stores every frame once, but neighbours in a batch are of the few
sequences that are in the buffer at a time.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..windows import LENGTH
from .material import Batch, Cut, Material, Way

NAME, PACKAGE = "WebDataset", "webdataset"
SHARDS, BUFFER = 16, 5000


def ways(material: Material) -> dict[str, Way]:
    wds: Any = importlib.import_module("webdataset")

    rows = material.rows(material.some_windows())
    _write(material.folder / "window", (material.data[row] for row in rows), len(rows))
    starts = range(0, material.frames, LENGTH)
    _write(material.folder / "sequence", (material.data[at : at + LENGTH] for at in starts), len(starts))

    def loader(folder: Path, cut: bool, workers: int) -> Iterable[Batch]:
        shards = sorted(str(path) for path in folder.glob("*.tar"))
        dataset = wds.WebDataset(shards, shardshuffle=SHARDS, workersplitter=wds.split_by_worker).decode()
        dataset = dataset.to_tuple("npy").map(_first)
        if cut:
            dataset = dataset.compose(partial(_windows, window=material.window))
        dataset = dataset.shuffle(BUFFER if cut else 1000).batched(material.batch, collation_fn=_stacked, partial=False)
        return Cut(wds.WebLoader(dataset, batch_size=None, num_workers=workers, persistent_workers=workers > 0))

    return {
        "a window a sample": partial(loader, material.folder / "window", False),
        "a sequence a sample": partial(loader, material.folder / "sequence", True),
    }


def _write(folder: Path, samples: Iterable[np.ndarray], count: int) -> None:
    wds: Any = importlib.import_module("webdataset")

    folder.mkdir(parents=True)
    with wds.ShardWriter(f"{folder}/%04d.tar", maxcount=-(-count // SHARDS), verbose=0) as sink:
        for number, values in enumerate(samples):
            sink.write({"__key__": f"{number:08d}", "npy": values})


def _first(sample: tuple) -> np.ndarray:
    return sample[0]


def _windows(sequences: Iterable[np.ndarray], window: int) -> Iterator[np.ndarray]:
    half = window // 2
    for values in sequences:
        padded = np.pad(values, [(half, half), (0, 0), (0, 0)], mode="edge")
        for start in range(len(values)):
            yield padded[start : start + window]


def _stacked(windows: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(windows))
