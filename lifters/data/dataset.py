"""Windows as tensors: `WindowLoader` as a PyTorch IterableDataset, each worker process reading a part of its own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from ...stores.errors import InvalidValueError
from ...stores.format.fingerprint import describe_difference
from ...stores.reading.memory import automatic_budget
from ...stores.reading.store import FeatureStore
from ...stores.reading.turns import Reading, TurnLoader

# What a state says of a loader and its batches, whichever workers read them.
_SAME = ("stores", "windows", "weights", "batch_size", "drop_last", "shuffle", "seed", "rank", "world_size")
_BEGUN = {"epoch": 0, "batch": 0, "readings": []}


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
    The DataLoader must take batches in their order, which is its default.
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
        # Shared, so that workers that outlive an epoch learn of the next one, and this process how they read.
        self._state, self._seen = _Shared(_BEGUN), _Shared({})
        self._loader: TurnLoader | None = None

    def set_epoch(self, epoch: int) -> None:
        """Choose the next epoch, from its beginning; needed before each one, as with a DistributedSampler."""
        if epoch != self._state.read()["epoch"]:
            self._state.write({**_BEGUN, "epoch": epoch})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue in the middle of an epoch, with what `state_dict` gave there.

        With as many workers as then, exactly the batches follow that remained. With another number exactly the windows
        that were not used yet follow, in batches that these workers make of them. InvalidValueError, naming what
        differs, where the state is of other batches.
        """
        if state["batch"] and not state.get("readings"):
            raise InvalidValueError(
                "the state does not say how many workers read it, as those of an older auglift: begin the epoch anew"
            )
        if state["batch"]:
            ours = self._identity(self._opened(1))
            theirs = {key: state.get(key) for key in ours}
            if ours != theirs:
                difference = describe_difference(ours, theirs).replace("in the store", "there")
                raise InvalidValueError(
                    f"the state is of other batches ({difference}); make the dataset as it was then"
                )
        known = {key: state[key] for key in (*_BEGUN, "memory") if key in state}
        self._state.write({**_BEGUN, **known})

    def state_dict(self, batch: int) -> dict[str, Any]:
        """Return the state after `batch` batches of this epoch were used; workers are ahead, so only the caller knows.

        Plain data. InvalidValueError for fewer than had been used when the epoch was gone on with.
        """
        state, seen = self._state.read(), self._seen.read()
        if batch < state["batch"]:
            raise InvalidValueError(
                f"{batch} batches: {state['batch']} of this epoch had been used before; count from its beginning"
            )
        if not seen:
            loader = self._opened(1)
            seen = {"reading": loader.reading(0).as_dict(), "memory": loader.plan.budget, **self._identity(loader)}
        readings = [Reading.from_dict(values) for values in state["readings"]]
        memory = state.get("memory")
        if batch > state["batch"]:
            now = Reading.from_dict({**seen["reading"], "until": batch})
            readings = [*(readings[:-1] if readings and readings[-1].goes_on(now) else readings), now]
            memory = seen["memory"]
        return {
            "epoch": state["epoch"],
            "batch": batch,
            "readings": [reading.as_dict() for reading in readings],
            "memory": memory,
            **{key: seen[key] for key in _SAME},
        }

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        state = self._state.read()
        info = get_worker_info()
        workers, worker = (info.num_workers, info.id) if info else (1, 0)
        readings = [Reading.from_dict(values) for values in state["readings"]]
        # As many as before with what memory they had: the same order, on another machine too.
        same = bool(readings) and readings[-1].workers == workers
        loader = self._opened(workers, state.get("memory") if same else None)
        loader.go_on(state["epoch"], worker, state["batch"], readings)
        self._seen.write(
            {"reading": loader.reading(0).as_dict(), "memory": loader.plan.budget, **self._identity(loader)}
        )
        for batch in loader:
            # Between processes a tensor travels with the gaps in its memory: close them.
            yield {k: torch.from_numpy(np.ascontiguousarray(v) if info else v) for k, v in batch.items()}

    def _opened(self, workers: int, memory: int | None = None) -> TurnLoader:
        """This process' loader; it keeps what it has in memory from one epoch to the next.

        memory   bytes that each worker had; not where the options say how many there may be
        """
        given = self.options.get("memory", "auto")
        if given != "auto" or memory is None:
            given = automatic_budget() if given == "auto" else given
            memory = given // workers if isinstance(given, int) else given
        if self._loader is None or (self._loader.workers, self._loader.plan.budget) != (workers, memory):
            options = {**self.options, "memory": memory, "workers": workers}
            self._loader = TurnLoader(self.stores, self.fields, **options)
        return self._loader

    @staticmethod
    def _identity(loader: TurnLoader) -> dict[str, Any]:
        identity = loader.identity()
        return {key: identity[key] for key in _SAME}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loader": None}


class _Shared:
    """Plain data in memory that a process shares with those it starts."""

    def __init__(self, value: Any):
        self._bytes = torch.zeros(1 << 16, dtype=torch.uint8).share_memory_()
        self.write(value)

    def write(self, value: Any) -> None:
        text = json.dumps(value).encode()
        if len(text) + 8 > len(self._bytes):
            raise InvalidValueError(f"a state of {len(text)} bytes: so many stores or readings cannot be kept")
        self._bytes[8 : 8 + len(text)] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        self._bytes[:8] = torch.frombuffer(bytearray(len(text).to_bytes(8, "little")), dtype=torch.uint8)

    def read(self) -> Any:
        size = int.from_bytes(bytes(self._bytes[:8].tolist()), "little")
        return json.loads(self._bytes[8 : 8 + size].numpy().tobytes())
