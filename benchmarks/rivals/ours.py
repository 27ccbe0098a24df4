"""auglift itself, as docs/training.md says: `WindowDataset`, which reads ahead in a thread, or with workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch.utils.data import DataLoader

from auglift.lifters.data.dataset import WindowDataset

from .material import FIELDS, Batch, Material, Way


class _Epochs:
    """Epoch after epoch."""

    def __init__(self, dataset: WindowDataset, loader: DataLoader):
        self.dataset, self.loader, self.epoch = dataset, loader, -1

    def __iter__(self) -> Iterator[Batch]:
        self.epoch += 1
        self.dataset.set_epoch(self.epoch)
        return iter(self.loader)


def ways(material: Material) -> dict[str, Way]:
    def loader(workers: int) -> Iterable[Batch]:
        dataset = WindowDataset(str(material.folder), FIELDS, window=material.window, batch_size=material.batch)
        options = {"multiprocessing_context": "spawn", "persistent_workers": True} if workers else {}
        return _Epochs(dataset, DataLoader(dataset, batch_size=None, num_workers=workers, **options))

    return {"a thread": loader, "workers": loader}


def contiguous(material: Material) -> Iterable[Batch]:
    """The same without workers, each field in memory of its own: for whoever needs that."""
    made: dict[tuple[str, torch.Size], torch.Tensor] = {}
    for batch in ways(material)["a thread"](0):
        for name in FIELDS:
            key = (name, batch[name].shape)
            if key not in made:
                made[key] = torch.empty(batch[name].shape)
            made[key].copy_(batch[name])
        yield batch
