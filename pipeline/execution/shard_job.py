"""One shard, from its sources to the store: decodes ahead, extracts batch by batch, writes, adds a ledger record."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from ...stores.errors import AugliftError, MissingFileError
from ...stores.format.layout import PLAN, ledger_key
from ...stores.format.record import ShardRecord
from ...stores.locations.base import Location
from ...stores.reading.read_ahead import read_ahead
from ...stores.writing.shards import ShardWriter
from ..extract import Extractor, StageTimes
from ..frames.sources import FrameBatch, read
from ..networks.ground_truth import BBOX, DEPTH, read_truth
from ..networks.stored import KEYS
from ..plan import Clip, Plan, Segment, Shard
from .batch_memory import ForwardLimit
from .results import ShardResult

__all__ = ["ShardResult", "decoded", "process_shard", "recorded", "require_visible", "versions"]

# Unreadable frames named in a shard's record; the rest are only counted.
PROBLEMS_LISTED = 100


@dataclass
class _Watched(StageTimes):
    """Measures the seconds of each stage, and reports every stage that begins."""

    on_stage: Callable[[str], None] = field(default=lambda name: None)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.on_stage(name)
        with super().stage(name):
            yield


def process_shard(
    extractor: Extractor,
    plan: Plan,
    shard: Shard,
    writer: ShardWriter,
    on_frames: Callable[[int], None] = lambda count: None,
    on_stage: Callable[[str], None] = lambda name: None,
    limit: ForwardLimit | None = None,
) -> ShardResult:
    """Do one shard. Batches never cross a segment, so the same plan always makes the same batches.

    on_frames   called with the number of frames each time a batch is done
    on_stage    called with its name each time a stage begins
    limit       what is known of the device's memory; kept from shard to shard
    """
    begin = time.perf_counter()
    times = _Watched(extractor.device, on_stage=on_stage)
    limit = limit or ForwardLimit()
    arrays = {spec.name: spec.empty(shard.stop - shard.start) for spec in plan.fields}
    problems: list[dict[str, Any]] = []
    unreadable = valid = row = 0
    for segment in shard.segments:
        clip = plan.clips[segment.clip]
        for batch, truth in decoded(plan, clip, segment, times):
            rows = slice(row, row + len(batch.indices))
            features = limit.extract(extractor, batch.frames, batch.ok, truth, times)
            features["source_frame"] = batch.indices.astype(np.int32)
            targets = {name: values for name, values in truth.items() if name not in (BBOX, DEPTH, *KEYS)}
            computed = features | targets
            for name in arrays.keys() & computed.keys():
                arrays[name][rows] = computed[name]
            row = rows.stop
            valid += int(features["valid"].sum())
            unreadable += int((~batch.ok).sum())
            problems += [
                {"sequence": clip.id, "source_frame": int(index), "reason": reason}
                for index, reason in zip(batch.indices, batch.reasons, strict=True)
                if reason is not None
            ][: PROBLEMS_LISTED - len(problems)]
            on_frames(len(batch.indices))
            on_stage("wait")
    frames = shard.stop - shard.start
    counts = {"frames": frames, "valid": valid, "nobody": frames - valid - unreadable, "unreadable": unreadable}
    with times.stage("write"):
        writer.write(shard.index, arrays, counts, problems, versions())
    seconds = {**times.seconds, "total": time.perf_counter() - begin}
    return ShardResult(shard.index, frames, counts, problems, seconds, limit.frames or 0)


def recorded(writer: ShardWriter, shard: int) -> ShardResult | None:
    """Return the result of a shard that is in this plan's ledger; None if it is not, or if its record is not valid."""
    key = ledger_key(shard)
    try:
        record = ShardRecord.from_json(writer.location.read(key), key)
    except AugliftError:
        return None
    if record.misfit(writer.layout, writer.fingerprint) is not None:
        return None
    return ShardResult(shard, record.stop - record.start, record.counts, record.problems, {})


def require_visible(plan: Plan, location: Location) -> None:
    """Raise MissingFileError if this machine does not see the store or the sources.

    It looks for one source of each folder: if a folder is not mounted, none of its sources is there.
    """
    where = f"seen from {platform.node()}"
    if not location.exists(PLAN):
        raise MissingFileError(f"{location.url} is not there, {where}; every node needs the store under the same path")
    one_each = {Path(clip.info.path).parent: Path(clip.info.path) for clip in plan.clips}
    for path in one_each.values():
        if not path.exists():
            raise MissingFileError(f"{path} is not there, {where}; every node needs the sources under the same path")


def decoded(
    plan: Plan, clip: Clip, segment: Segment, times: StageTimes
) -> Iterator[tuple[FrameBatch, dict[str, np.ndarray]]]:
    """Yield the segment's frames in batches, each with its ground truth. A thread decodes ahead of the networks."""
    wanted = clip.source_frames(segment.first, segment.count)

    def batches() -> Iterator[tuple[FrameBatch, dict[str, np.ndarray]]]:
        source = iter(read(clip.info.path, wanted, plan.settings["batch"], plan.settings["threads"]))
        while True:
            begin = time.perf_counter()
            batch = next(source, None)
            if batch is None:
                return
            truth = read_truth(clip, batch.indices, plan.settings)
            times.seconds["decode"] += time.perf_counter() - begin
            yield batch, truth

    ahead = read_ahead(batches(), depth=2)
    while True:
        begin = time.perf_counter()
        item = next(ahead, None)
        times.seconds["wait"] += time.perf_counter() - begin
        if item is None:
            return
        yield item


@cache
def versions() -> dict[str, str]:
    """Return the versions of the libraries that compute a shard, for its record."""
    found = {"python": platform.python_version()}
    for name in ("auglift", "torch", "numpy", "zarr", "numcodecs", "transformers", "mmdet", "mmpose", "av"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
