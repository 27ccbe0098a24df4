"""`WindowLoader`: windows of any length over any fields of any stores, shuffled, resumable, read ahead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from ..errors import InvalidValueError, StoreIncompleteError
from ..format.families import split_field
from ..format.fingerprint import describe_difference
from ..format.schema import Field
from ..locations.base import Location
from .blocks import BlockPool, Blocks, Columns, cut_into_blocks
from .memory import MemoryPlan, automatic_budget, plan_memory
from .order import Order, draw, drawn_windows, sequential_order, share, shuffled_order
from .pieces import CARRIED, FRAME, Batch, Part, Pieces, Source
from .read_ahead import read_ahead
from .records import Buffers, records_of
from .shardfile import ShardReader
from .store import FeatureStore
from .window_table import WindowShape, WindowTable, window_table


class WindowLoader:
    """Batches of windows, one epoch an iteration.

        loader = WindowLoader("h36m.zarr", ["keypoints", "score", "uadd/paper"], window=27, select={"split": "train"})
        for batch in loader:
            batch["keypoints"]                # (B, 27, 17, 2) float32

    stores         what `FeatureStore.open` takes, or an open store; or several
    fields         of the store; `valid` is always among them
    window         frames, odd, 1 to 351. Past the ends of a sequence, which may be shorter than a window, its edges are
                   replicated, as VideoPose3D does
    stride         frames from one centre to the next
    batch_size     windows; the last batch of an epoch has what is left, unless drop_last
    causal         the centre is the last frame of its window, not the middle one
    select         {"split": "train", "subject": ["S1", "S5"]}: by columns of the table of sequences
    where          an Arrow expression over that table, such as pc.field("fps") >= 25
    weights        by store, how often an epoch goes through it; 1 by default; 0.5: a random half, another each epoch
    keep_invalid   also windows whose centre is not valid
    centres        by store, (frames,) bool or None: frames that may be centres, beside what is said above
    centre_fields  those of `fields` that are wanted at the centre alone, (B, 1, ...)
    shuffle        False: windows in the order of stores and frames
    drop_last      only whole batches, the same number for every rank
    rank, world_size   this reader's part; ranks are disjoint and together have everything once
    memory         bytes that may be used; "auto": half of what the machine has. Where the frames do not fit, they are
                   read in blocks, which changes the order: give every rank the same
    allow_incomplete   read the finished shards of a store that is still being written

    A batch has, beside the fields (B, T, ...):

    valid          (B, T) bool   False: nobody was found, and the fields are NaN
    inside         (B, T) bool   False: past the end of the sequence, a copy of its first or last frame
    frame_size     (B, 2) float32  width, height, px
    fps            (B,) float32  frames a second; NaN where unknown
    store          (B,) int32    which of the stores
    sequence       (B,) int32    row in that store's table of sequences
    frame          (B,) int64    the centre, on that store's frame axis

    Arrays of a batch share memory (a row a frame, with gaps between the fields: `np.ascontiguousarray` where that
    matters), which is used again once nothing refers to it.
    """

    def __init__(
        self,
        stores: FeatureStore | str | Path | Location | Sequence[FeatureStore | str | Path | Location],
        fields: Iterable[str],
        window: int,
        stride: int = 1,
        batch_size: int = 1024,
        *,
        causal: bool = False,
        select: Mapping[str, Any] | None = None,
        where: pc.Expression | None = None,
        weights: Sequence[float] | None = None,
        keep_invalid: bool = False,
        centres: Sequence[np.ndarray | None] | None = None,
        centre_fields: Iterable[str] = (),
        shuffle: bool = True,
        drop_last: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        memory: int | str = "auto",
        allow_incomplete: bool = False,
    ):
        self.shape = WindowShape(window, stride, causal)
        self.batch_size, self.drop_last, self.shuffle, self.seed = batch_size, drop_last, shuffle, seed
        self.rank, self.world_size = rank, world_size
        if batch_size < 1:
            raise InvalidValueError(f"batch size {batch_size}: must be at least 1")
        if not 0 <= rank < world_size:
            raise InvalidValueError(f"rank {rank} of {world_size}: must be 0 to world size - 1")
        self.stores = _open(stores, allow_incomplete)
        self.weights = _weights(weights, len(self.stores))
        self.fields = _common_fields(self.stores, [*fields, "valid"])
        self._records = records_of(self.fields.values(), _centre(centre_fields, self.fields))
        self._readers = [ShardReader(store) for store in self.stores]
        self.table: WindowTable = window_table(self._readers, self.shape, select, where, keep_invalid, centres)
        # Wide frames that go to one window each need no copy in memory but the batch's own.
        self._scattered = tuple(
            record.fields[0].wide and record.frames(window) == 1 and max(self.weights) <= 1 for record in self._records
        )
        self._automatic = memory == "auto"
        self._use(automatic_budget() if memory == "auto" else _bytes(memory))
        self.epoch = 0
        self._batch = 0  # given out in this epoch
        self._resume = 0  # where the next iteration begins
        self._columns: Columns | None = None
        self._buffers, self._pools = (Buffers(), Buffers()), Buffers()

    def _use(self, budget: int) -> None:
        """Plan for so many bytes."""
        self.plan: MemoryPlan = plan_memory(
            budget, self.stores, self._records, self.table, self.shape, self.batch_size, self.shuffle, self._scattered
        )
        self._blocks: Blocks | None = None
        if self.plan.pool:
            self._blocks = cut_into_blocks(self.table, self.shape, self.plan.block_frames)

    @property
    def windows(self) -> int:
        """Windows of an epoch, all ranks together."""
        return drawn_windows(self.table.counts, self.weights)

    def __len__(self) -> int:
        """Batches of an epoch of this rank."""
        if self.drop_last:
            return self.windows // self.world_size // self.batch_size
        first, last = share(self.windows, self.rank, self.world_size)
        return -(-(last - first) // self.batch_size)

    def order(self, epoch: int) -> Order:
        """The windows of this rank's epoch, indices into `table`: a pure function of seed, epoch, rank, world size."""
        drawn = draw(self.table.counts, self.weights, self.seed, epoch)
        of = None if self._blocks is None else self._blocks.of
        if not self.shuffle:
            return sequential_order(drawn, of, self.rank, self.world_size)
        return shuffled_order(drawn, of, self.plan.pool, self.seed, epoch, self.rank, self.world_size)

    def set_epoch(self, epoch: int) -> None:
        """Which epoch comes next. Epochs follow one another without it."""
        if epoch != self.epoch:
            self.epoch, self._batch, self._resume = epoch, 0, 0

    def __iter__(self) -> Iterator[Batch]:
        """The batches of this epoch; after `load_state_dict` those that remain. A loop left early begins anew."""
        epoch, first, self._resume = self.epoch, self._resume, 0
        self._batch = first
        pieces = read_ahead(self._pieces(epoch, first), self.plan.read_ahead)
        try:
            for piece in pieces:
                for batch in piece:
                    self._batch += 1
                    yield batch
                # Their memory can be used again while the next piece is waited for.
                del piece, batch
        finally:
            pieces.close()  # type: ignore[attr-defined]
        self.epoch, self._batch = epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Where this loader is, as plain data: the epoch, how many of its batches were given out, what they are of."""
        return {"epoch": self.epoch, "batch": self._batch, "memory": self.plan.budget, **self.identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another loader was: the next iteration has exactly the batches that remained to it.

        InvalidValueError, naming what differs, where this loader's batches are not that one's.
        """
        if self._automatic and state.get("memory") != self.plan.budget:
            self._use(_bytes(state.get("memory")))
            self._columns = None
        ours = self.identity()
        theirs = {key: state.get(key) for key in ours}
        if ours != theirs:
            difference = describe_difference(ours, theirs).replace("in the store", "there")
            raise InvalidValueError(f"the state is of other batches ({difference}); make the loader as it was then")
        self.epoch, self._batch = int(state["epoch"]), int(state["batch"])
        self._resume = self._batch

    def identity(self) -> dict[str, Any]:
        """What the order of windows and their batches depends on."""
        return {
            "stores": [store.fingerprint for store in self.stores],
            "windows": self.table.digest,
            "weights": list(self.weights),
            "batch_size": self.batch_size,
            "drop_last": self.drop_last,
            "shuffle": self.shuffle,
            "seed": self.seed,
            "rank": self.rank,
            "world_size": self.world_size,
            "pool": self.plan.pool,
            "block_frames": list(self.plan.block_frames),
        }

    def _pieces(self, epoch: int, first: int) -> Iterator[list[Batch]]:
        """Batches from number `first` on, several at a time. Runs in a thread of its own."""
        order = self.order(epoch)
        part = Part(
            first=first * self.batch_size,
            end=min(len(self) * self.batch_size, len(order.windows)),
            size=self.plan.together * self.batch_size,
        )
        scattered = self._scattered if self.plan.pool else (False,) * len(self._records)
        pieces = Pieces(self.table, self.shape, self._records, scattered, order, part, self._buffers)
        source = self._source(order, pieces)
        try:
            for number in range(-(-(part.end - part.first) // part.size)):
                piece = pieces.gather(number, source)
                piece = {name: piece[name] for name in (*self.fields, *CARRIED)}
                yield [
                    {name: values[at : at + self.batch_size] for name, values in piece.items()}
                    for at in range(0, len(piece[FRAME]), self.batch_size)
                ]
                del piece
        finally:
            source.close()

    def _source(self, order: Order, pieces: Pieces) -> Source:
        if self._blocks is not None:
            return BlockPool(self._readers, self._blocks, pieces, order, self.plan.ahead, self._pools)
        if self._columns is None:
            self._columns = Columns(self._readers, self._records, self.table)
        return self._columns


def _open(stores: Any, allow_incomplete: bool) -> tuple[FeatureStore, ...]:
    many = [stores] if isinstance(stores, (FeatureStore, str, Path, Location)) else list(stores)
    if not many:
        raise InvalidValueError("no store was given")
    opened = [s if isinstance(s, FeatureStore) else FeatureStore.open(s, allow_incomplete) for s in many]
    for store in opened:
        if store.status != "complete" and not allow_incomplete:
            raise StoreIncompleteError(
                f"{store.url} is not complete: finish it with auglift-prep, or give allow_incomplete to read its "
                "finished shards"
            )
    return tuple(opened)


def _common_fields(stores: Sequence[FeatureStore], names: Iterable[str]) -> dict[str, Field]:
    """The fields by name. MissingFieldError; InvalidValueError where stores mean different things by them."""
    wanted = list(dict.fromkeys(names))
    for store in stores:
        store.require(wanted)
    first = stores[0]
    for store in stores[1:]:
        _same(first, store, "skeletons", first.attributes.get("skeleton"), store.attributes.get("skeleton"))
        for name in wanted:
            ours, theirs = first.fields[name], store.fields[name]
            _same(first, store, f"'{name}'", [list(ours.shape), ours.dtype], [list(theirs.shape), theirs.dtype])
            kind, _, preset = split_field(name)[0].partition("/")
            if kind in ("uadd", "radius"):
                settings = [(s.configuration_of(name).get("uadd") or {}).get(preset) for s in (first, store)]
                _same(first, store, f"presets '{preset}'", *settings)
    return {name: first.fields[name] for name in wanted}


def _same(first: FeatureStore, second: FeatureStore, what: str, ours: Any, theirs: Any) -> None:
    if ours != theirs:
        difference = describe_difference(ours, theirs).replace(" here", f" in {first.url}")
        raise InvalidValueError(
            f"{first.url} and {second.url} have different {what} ({difference.replace('in the store', 'there')}); "
            "one loader reads stores that agree"
        )


def _centre(names: Iterable[str], fields: Mapping[str, Field]) -> list[str]:
    found = list(names)
    strangers = [name for name in found if name not in fields or name == "valid"]
    if strangers:
        raise InvalidValueError(f"centre_fields {', '.join(strangers)}: must be among the fields, and not 'valid'")
    return found


def _weights(weights: Sequence[float] | None, stores: int) -> tuple[float, ...]:
    found = (1.0,) * stores if weights is None else tuple(float(weight) for weight in weights)
    if len(found) != stores or not all(0 < weight < 1e6 for weight in found):
        raise InvalidValueError(f"weights {list(found)}: must be {stores}, one a store, each above 0")
    return found


def _bytes(memory: Any) -> int:
    if not isinstance(memory, int) or isinstance(memory, bool) or memory < 1:
        raise InvalidValueError(f"memory {memory!r}: must be a number of bytes, or 'auto'")
    return memory
