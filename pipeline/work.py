"""One shard from its sources to the store: decode ahead, extract batch by batch, write, enter in the ledger."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np

from ..stores.readahead import read_ahead
from ..stores.shards import ShardWriter
from .extract import Extractor, StageTimes
from .frames import FrameBatch, read
from .plan import Clip, Plan, Segment, Shard

# Unreadable frames named in a shard's record; the rest are only counted.
PROBLEMS_LISTED = 100


@dataclass(frozen=True)
class ShardResult:
    """A shard that is in the store. `seconds`: by stage, and `total`."""

    shard: int
    frames: int
    counts: dict[str, int]
    problems: list[dict[str, Any]]
    seconds: dict[str, float]


def process_shard(
    extractor: Extractor,
    plan: Plan,
    shard: Shard,
    writer: ShardWriter,
    on_frames: Callable[[int], None] = lambda count: None,
) -> ShardResult:
    """Do one shard. Batches never cross a segment, so the same plan always makes the same batches.

    on_frames   called with the number of frames each time a batch is done
    """
    begin = time.perf_counter()
    times = StageTimes(extractor.device)
    arrays = {spec.name: spec.empty(shard.stop - shard.start) for spec in plan.fields}
    problems: list[dict[str, Any]] = []
    unreadable = 0
    row = 0
    for segment in shard.segments:
        clip = plan.clips[segment.clip]
        for batch, truth in _decoded(plan, clip, segment, times):
            rows = slice(row, row + len(batch.indices))
            features = extractor.extract(batch.frames, batch.ok, truth.pop("bbox", None), times)
            features["source_frame"] = batch.indices.astype(np.int32)
            for name, values in (features | truth).items():
                arrays[name][rows] = values
            row = rows.stop
            unreadable += int((~batch.ok).sum())
            problems += [
                {"sequence": clip.id, "source_frame": int(index), "reason": reason}
                for index, reason in zip(batch.indices, batch.reasons, strict=True)
                if reason is not None
            ][: PROBLEMS_LISTED - len(problems)]
            on_frames(len(batch.indices))
    frames = shard.stop - shard.start
    valid = int(arrays["valid"].sum())
    counts = {"frames": frames, "valid": valid, "nobody": frames - valid - unreadable, "unreadable": unreadable}
    with times.stage("write"):
        writer.write(shard.index, arrays, counts, problems, versions())
    return ShardResult(shard.index, frames, counts, problems, {**times.seconds, "total": time.perf_counter() - begin})


def _decoded(
    plan: Plan, clip: Clip, segment: Segment, times: StageTimes
) -> Iterator[tuple[FrameBatch, dict[str, np.ndarray]]]:
    """The segment's frames in batches, each with what is known of them, decoded in a thread ahead of the networks."""
    wanted = clip.source_frames(segment.first, segment.count)

    def batches() -> Iterator[tuple[FrameBatch, dict[str, np.ndarray]]]:
        decoded = iter(read(clip.info.path, wanted, plan.settings["batch"], plan.settings["threads"]))
        while True:
            begin = time.perf_counter()
            batch = next(decoded, None)
            if batch is None:
                return
            truth = dict(clip.truth.read(batch.indices)) if clip.truth else {}
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
    """Versions of what computes a shard, for its record."""
    found = {"python": platform.python_version()}
    for name in ("auglift", "torch", "numpy", "zarr", "numcodecs", "transformers", "mmdet", "mmpose", "av"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
