"""Windows as tensors: `WindowLoader` as a PyTorch IterableDataset, each worker process reading a part of its own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from ..stores.memory import automatic_budget
from ..stores.store import FeatureStore
from ..stores.windows import WindowLoader


class WindowDataset(IterableDataset):
    """Batches of windows as tensors. Batches are whole already: `DataLoader(dataset, batch_size=None, ...)`.

        dataset = WindowDataset("h36m.zarr", ["keypoints", "score", "uadd/paper"], window=27)
        loader = DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context="spawn")
        for epoch in range(10):
            dataset.set_epoch(epoch)
            for batch in loader: ...

    stores, fields, options   as for `WindowLoader`
    Without workers it reads ahead in a thread, which is enough for most trainings. Each of W workers reads as a rank of
    its own, of W times as many, with a W-th of `memory`; stores are opened in the worker, so nothing but names travels
    to it, and it may be spawned or come from a fork server. With persistent_workers what they read stays in memory.
    """

    def __init__(
        self,
        stores: FeatureStore | str | Path | Sequence[FeatureStore | str | Path],
        fields: Iterable[str],
        **options: Any,
    ):
        many = [stores] if isinstance(stores, (FeatureStore, str, Path)) else list(stores)
        self.stores = [store.url if isinstance(store, FeatureStore) else str(store) for store in many]
        self.fields, self.options = tuple(fields), options
        # Shared, so that workers that outlive an epoch learn of the next one: epoch, batches of it already given out.
        self._position = torch.zeros(2, dtype=torch.int64).share_memory_()
        self._loader: WindowLoader | None = None

    def set_epoch(self, epoch: int) -> None:
        """Which epoch comes next, from its beginning; needed before each one, as with a DistributedSampler."""
        if epoch != int(self._position[0]):
            self._position[:] = torch.tensor([epoch, 0])

    def load_state_dict(self, state: dict[str, int]) -> None:
        """{"epoch", "batch"}: go on in the middle of an epoch, `batch` batches of which were used.

        Exact as long as the number of workers is what it was.
        """
        self._position[:] = torch.tensor([state["epoch"], state["batch"]])

    def state_dict(self, batch: int) -> dict[str, int]:
        """The state after `batch` batches of this epoch were used: workers are ahead of that, only the user knows."""
        return {"epoch": int(self._position[0]), "batch": batch}

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        epoch, used = (int(value) for value in self._position)
        info = get_worker_info()
        workers, worker = (info.num_workers, info.id) if info else (1, 0)
        # A DataLoader takes batches from its workers in turn, the first one first: its turn it was.
        turn = (worker + used) % workers
        loader = self._open(workers)
        loader.rank = self.options.get("rank", 0) * workers + turn
        skipped = math.ceil((used - turn) / workers)
        loader.load_state_dict({**loader.state_dict(), "epoch": epoch, "batch": skipped})
        for batch in loader:
            # Between processes a tensor travels with the gaps in its memory: close them.
            yield {k: torch.from_numpy(np.ascontiguousarray(v) if info else v) for k, v in batch.items()}
        if not info:
            self._position[:] = torch.tensor([epoch + 1, 0])

    def _open(self, workers: int) -> WindowLoader:
        """This process' loader; it keeps what it has in memory from one epoch to the next."""
        if self._loader is None:
            memory = self.options.get("memory", "auto")
            options = {
                **self.options,
                "world_size": self.options.get("world_size", 1) * workers,
                "memory": (automatic_budget() if memory == "auto" else memory) // workers,
            }
            options.pop("rank", None)
            self._loader = WindowLoader(self.stores, self.fields, **options)
        return self._loader

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loader": None}
