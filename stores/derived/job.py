"""Makes a derived store from its plan: what is missing of it, then its statistics, then every byte is verified."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..errors import CorruptStoreError, InvalidValueError
from ..families import family_location
from ..locations.base import Location
from ..locations.choose import locate
from ..reading.store import FeatureStore
from ..writing.families import publish
from ..writing.lock import StoreLock
from ..writing.shards import ShardWriter, sweep_unfinished
from ..writing.statistics import statistics
from ..writing.verify import verify
from .carried import attributes
from .plan import DerivedPlan, FamilyPlan
from .shard import ShardMaker

THREADS = 4
MEMORY = 2**30

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Derived:
    """How a job ended.

    copied, written   files of shards that were copied byte for byte, and that were written anew, in this run
    resumed           shards that were there already, of `shards`, those of families among them
    renamed           store, id there, id here
    notes             what a user should know of the sequences, a line each
    """

    url: str
    frames: int
    sequences: int
    shards: int
    copied: int
    written: int
    resumed: int
    renamed: list[tuple[str, str, str]]
    notes: list[str]


def derive(plan: DerivedPlan, out: str | Path | Location, progress: Progress = lambda step, done, of: None) -> Derived:
    """Make the store, or go on where a job was stopped, and verify it.

    progress   called with (copy or verify, shards done, shards in all)
    Raises StoreLockedError where another job writes it, InvalidValueError where something else is there,
    StoreWriteError where the disk is full, CorruptStoreError where a source or what was written is damaged. Shards
    that are finished are kept, whatever happens: run it again.
    """
    location = locate(out)
    for source in plan.sources:
        if _same_place(source.store.location, location):
            raise InvalidValueError(f"{location.url} is one of the stores that are read; choose another --out")
    tally = _Tally(plan, progress)
    with StoreLock(location) as lock:
        sweep_unfinished(location)
        writer, missing = _begin(plan, location, tally)
        store = FeatureStore.open(location, allow_incomplete=True)
        _write_shards(ShardMaker(plan, writer, store), missing, tally, lock)
        for family in plan.families:
            _write_family(family, store, tally)
        if plan.families:
            publish(location)
        if missing or store.status != "complete":  # last: until then no reader takes it for complete
            lock.require()
            writer.finalise(statistics(store))
    _require_sound(location, progress)
    renamed = [
        (plan.sources[number].store.url, old, new)
        for new, (number, old) in zip(plan.ids, plan.origins, strict=True)
        if new != old
    ]
    notes = [f"{id}: {note}" for id, note in plan.notes.items()]
    sizes = plan.layout.frames, len(plan.ids), tally.all
    return Derived(location.url, *sizes, tally.copied, tally.written, tally.resumed, renamed, notes)


class _Tally:
    """What is done of all shards, those of families among them."""

    def __init__(self, plan: DerivedPlan, progress: Progress):
        self.progress = progress
        self.all = plan.layout.shards * (1 + len(plan.families))
        self.done = self.resumed = self.copied = self.written = 0

    def there(self, shards: int) -> None:
        self.resumed += shards
        self.done += shards
        self.progress("copy", self.done, self.all)

    def made(self, copied: int, written: int) -> None:
        self.copied, self.written, self.done = self.copied + copied, self.written + written, self.done + 1
        self.progress("copy", self.done, self.all)


def _begin(plan: DerivedPlan, location: Location, tally: _Tally) -> tuple[ShardWriter, list[int]]:
    """The writer of a store or of a family, and the shards that are missing."""
    writer = ShardWriter.create(location, plan.layout, plan.table, plan.to_json(), attributes(plan))
    done = writer.done()
    tally.there(len(done))
    return writer, [shard for shard in range(plan.layout.shards) if shard not in done]


def _write_family(plan: FamilyPlan, store: FeatureStore, tally: _Tally) -> None:
    location = family_location(store.location, plan.name)
    with StoreLock(location) as lock:
        sweep_unfinished(location)
        writer, missing = _begin(plan, location, tally)
        family = store.open_family(plan.name)
        _write_shards(ShardMaker(plan, writer, family), missing, tally, lock)
        if missing or family.status != "complete":
            lock.require()
            writer.finalise(statistics(family))


def _write_shards(maker: ShardMaker, missing: list[int], tally: _Tally, lock: StoreLock) -> None:
    for copied, written in _made(maker, missing):
        lock.require()
        tally.made(copied, written)


def _made(maker: ShardMaker, shards: list[int]) -> Iterator[tuple[int, int]]:
    """Several shards at a time, as far as memory allows; of a failure the rest is not begun."""
    layout = maker.plan.layout
    largest = max(spec.frame_bytes for spec in layout.fields) * layout.shard_frames
    pool = ThreadPoolExecutor(max(1, min(THREADS, MEMORY // (3 * largest))))
    try:
        yield from pool.map(maker.make, shards)
    finally:
        pool.shutdown(cancel_futures=True)


def _require_sound(location: Location, progress: Progress) -> None:
    findings = verify(location, deep=True, progress=lambda done, of: progress("verify", done, of))
    bad = [finding for finding in findings if finding.remedy != "none"]  # strays are not ours
    if bad:
        raise CorruptStoreError(
            f"{location.url} is not what was written: {bad[0].key} {bad[0].problem} ({len(bad)} findings in all); "
            "auglift-store verify --deep --repair, then this command again"
        )


def _same_place(one: Location, other: Location) -> bool:
    paths = [getattr(location, "path", None) for location in (one, other)]
    if all(isinstance(path, Path) for path in paths):
        return paths[0].resolve() == paths[1].resolve()  # type: ignore[union-attr]
    return one.url == other.url
