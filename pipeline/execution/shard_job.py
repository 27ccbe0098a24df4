"""One shard, from its sources to the store: decodes ahead, extracts batch by batch, writes, adds a ledger record."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Generator, Iterable, Iterator
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
from ..device.cores import decoder_threads
from ..device.traffic import page_locked
from ..extract import Extractor, StageTimes
from ..features.streams import CLIPPED
from ..frames.sources import WITHOUT_PICTURES, read, without_pictures
from ..networks.substitutes.ground_truth import read_truth
from ..plan import Clip, Plan, Segment, Shard
from .batch_memory import ForwardLimit
from .overlap import Given, run
from .results import ShardResult

__all__ = [
    "ComputedShard",
    "ShardResult",
    "compute_shard",
    "decode_segments",
    "process_shard",
    "recorded",
    "require_visible",
    "versions",
    "write_shard",
]

# Unreadable frames named in a shard's record; the rest are only counted.
PROBLEMS_LISTED = 100


@dataclass
class _ReportedStages(StageTimes):
    """Measures the seconds of each stage, and reports every stage that begins."""

    on_stage: Callable[[str], None] = field(default=lambda name: None)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.on_stage(name)
        with super().stage(name):
            yield


@dataclass(frozen=True)
class ComputedShard:
    """A shard that is not in the store yet.

    arrays     of the store's fields, a row a frame
    seconds    by stage; `begun` is when its first frame was decoded, by time.perf_counter
    split      as in `ShardResult`
    """

    index: int
    arrays: dict[str, np.ndarray]
    counts: dict[str, int]
    problems: list[dict[str, Any]]
    seconds: dict[str, float]
    begun: float
    split: int


def compute_shard(
    extractor: Extractor,
    plan: Plan,
    shard: Shard,
    on_stage: Callable[[str], None] = lambda name: None,
    limit: ForwardLimit | None = None,
) -> Generator[int, None, ComputedShard]:
    """Compute one shard without writing it; yields the number of frames each time a batch is done.

    Batches never cross a segment, so the same plan always makes the same batches.

    on_stage    called with its name each time a stage begins
    limit       what is known of the device's memory; kept from shard to shard
    """
    begin = time.perf_counter()
    times = _ReportedStages(extractor.device, on_stage=on_stage)
    limit = limit or ForwardLimit()
    frames = shard.stop - shard.start
    arrays = {spec.name: spec.empty(frames) for spec in plan.fields}
    problems: list[dict[str, Any]] = []
    unreadable = valid = row = clipped = 0
    for source, features in run(extractor, decode_segments(plan, shard.segments, times), limit, times):
        rows = slice(row, row + len(source.indices))
        features["source_frame"] = source.indices.astype(np.int32)
        computed = source.truth | features
        for name in arrays.keys() & computed.keys():
            arrays[name][rows] = computed[name]
        valid += int(features["valid"].sum())
        clipped += int(features[CLIPPED].sum()) if CLIPPED in features else 0
        row = rows.stop
        failed = [pair for pair in zip(source.indices, source.reasons, strict=True) if pair[1] is not None]
        unreadable += len(failed)
        problems += [
            {"sequence": source.clip.id, "source_frame": int(index), "reason": reason} for index, reason in failed
        ][: PROBLEMS_LISTED - len(problems)]
        yield len(source.indices)
        on_stage("wait")
    times.settle()
    counts = {"frames": frames, "valid": valid, "nobody": frames - valid - unreadable, "unreadable": unreadable}
    counts |= {CLIPPED: clipped} if clipped else {}
    return ComputedShard(shard.index, arrays, counts, problems, times.seconds, begin, limit.frames or 0)


def write_shard(computed: ComputedShard, writer: ShardWriter) -> ShardResult:
    """Put a shard into the store and its ledger."""
    begin = time.perf_counter()
    writer.write(computed.index, computed.arrays, computed.counts, computed.problems, versions())
    end = time.perf_counter()
    seconds = {**computed.seconds, "write": end - begin, "total": end - computed.begun}
    frames = computed.counts["frames"]
    return ShardResult(computed.index, frames, computed.counts, computed.problems, seconds, computed.split)


def process_shard(
    extractor: Extractor,
    plan: Plan,
    shard: Shard,
    writer: ShardWriter,
    on_frames: Callable[[int], None] = lambda count: None,
    on_stage: Callable[[str], None] = lambda name: None,
    limit: ForwardLimit | None = None,
) -> ShardResult:
    """Do one shard and write it.

    on_frames   called with the number of frames each time a batch is done
    on_stage, limit   as for `compute_shard`
    """
    steps = compute_shard(extractor, plan, shard, on_stage, limit)
    while True:
        try:
            on_frames(next(steps))
        except StopIteration as end:
            on_stage("write")
            return write_shard(end.value, writer)


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

    It looks for one source of each folder: if a folder is not mounted, none of its sources is there. The same of files
    of joints.
    """
    where = f"seen from {platform.node()}"
    if not location.exists(PLAN):
        raise MissingFileError(f"{location.url} is not there, {where}; every node needs the store under the same path")
    filmed = [clip for clip in plan.clips if clip.info.kind != WITHOUT_PICTURES]
    one_each = {Path(clip.info.path).parent: Path(clip.info.path) for clip in filmed}
    given = {Path(clip.keypoints.place) for clip in plan.clips if clip.keypoints and "://" not in clip.keypoints.place}
    for path in (*one_each.values(), *sorted(given)):
        if not path.exists():
            raise MissingFileError(f"{path} is not there, {where}; every node needs the sources under the same path")


@dataclass(frozen=True)
class Source:
    """Where the frames of a batch come from.

    indices   (B,) int64, in the clip's source
    reasons   why a frame could not be read, else None
    truth     what is known of the frames (`read_truth`)
    """

    clip: Clip
    indices: np.ndarray
    reasons: tuple[str | None, ...]
    truth: dict[str, np.ndarray]


def decode_segments(plan: Plan, segments: Iterable[Segment], times: StageTimes) -> Iterator[Given[Source]]:
    """Yield the segments' frames in batches, with what is known of them; a thread decodes ahead of the networks.

    They are put where the device of the `times` can fetch them by itself.
    """

    threads = decoder_threads(plan.settings["threads"])

    def batches() -> Iterator[Given[Source]]:
        for segment in segments:
            clip = plan.clips[segment.clip]
            wanted = clip.source_frames(segment.first, segment.count)
            pictures = clip.info.kind != WITHOUT_PICTURES
            if pictures:
                source = iter(read(clip.info.path, wanted, plan.settings["batch"], threads))
            else:
                source = without_pictures(clip.info, wanted, plan.settings["batch"])
            while True:
                with times.on_host("decode"):
                    batch = next(source, None)
                    if batch is None:
                        break
                    truth = read_truth(clip, batch.indices, plan.settings)
                    frames = page_locked(batch.frames, times.device) if pictures else batch.frames
                yield Given(Source(clip, batch.indices, batch.reasons, truth), frames, batch.ok, truth)

    ahead = read_ahead(batches(), depth=2)
    while True:
        with times.on_host("wait"):
            given = next(ahead, None)
        if given is None:
            return
        yield given


_LIBRARIES = (
    "auglift", "torch", "numpy", "zarr", "numcodecs", "transformers", "mmdet", "mmpose", "av", "ai-edge-litert",
)  # fmt: skip


@cache
def versions() -> dict[str, str]:
    """Return the versions of the libraries that compute a shard, for its record."""
    found = {"python": platform.python_version()}
    for name in (
        "auglift",
        "torch",
        "numpy",
        "zarr",
        "numcodecs",
        "transformers",
        "mmdet",
        "mmpose",
        "av",
        "ai-edge-litert",
    ):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
