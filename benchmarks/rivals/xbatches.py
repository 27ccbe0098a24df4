"""xbatcher over Zarr: an `xarray.Dataset`, a `BatchGenerator` with overlapping inputs, its `MapDataset`, a DataLoader.

Read from Zarr as windows are wanted, or loaded into memory first, which whoever has the memory would do. xbatcher knows
no sequences: its windows may cross from one into the next and none is padded, which spares it work. Workers come from
a fork server, as Zarr has threads.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import torch
from torch.utils.data import DataLoader

from .material import JOINTS, WIDTH, Batch, Cut, Material, Way, endless

NAME, PACKAGE = "xbatcher", "xbatcher"
# A batch of a thousand windows takes ten seconds to read: what a window costs does not depend on the batch.
SMALL = 32
SEQUENCES = False


def ways(material: Material) -> dict[str, Way]:
    import xarray as xr

    path = material.folder / "frames.zarr"
    whole = xr.Dataset({"x": (("frame", "joint", "channel"), material.data)})
    whole.chunk({"frame": 1024}).to_zarr(path, zarr_format=3, consolidated=False)

    def loader(in_memory: bool, workers: int) -> Iterable[Batch]:
        from xbatcher import BatchGenerator  # pyright: ignore[reportMissingImports]
        from xbatcher.loaders.torch import MapDataset  # pyright: ignore[reportMissingImports]

        data = xr.open_zarr(path, chunks=None, consolidated=False)
        if in_memory:
            data = data.load()
        size = {"frame": material.window, "joint": JOINTS, "channel": WIDTH}
        generator = BatchGenerator(data, input_dims=size, input_overlap={"frame": material.window - 1})
        dataset = MapDataset(generator, transform=_tensor)
        options = {"persistent_workers": True, "multiprocessing_context": "forkserver"} if workers else {}
        batch = material.batch if in_memory else SMALL
        return Cut(DataLoader(dataset, batch, sampler=endless(dataset), num_workers=workers, **options))

    return {"from Zarr": partial(loader, False), "in memory": partial(loader, True)}


def _tensor(batch) -> torch.Tensor:
    return torch.from_numpy(batch["x"].values)
