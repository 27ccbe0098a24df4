"""Estimate how long a job takes from a few batches of each frame size, timed as the job runs them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ..extract import Extractor, StageTimes
from ..plan import Plan, Segment
from .batch_memory import ForwardLimit
from .overlap import run
from .shard_job import decode_segments

BATCHES = 3
# If there are more frame sizes, only the commonest are timed.
SIZES = 3


@dataclass(frozen=True)
class Calibration:
    """Speed of one worker.

    frames            that were timed
    seconds           that they took, decoding and networks together; nothing was written
    seconds_of_plan   that all frames of the plan would take, with one worker
    """

    frames: int
    seconds: float
    seconds_of_plan: float


def calibrate(extractor: Extractor, plan: Plan) -> Calibration:
    """Time BATCHES batches of each of the commonest frame sizes, after one batch to warm up."""
    sizes: dict[tuple[int, int], int] = {}
    for clip in plan.clips:
        size = (clip.info.width, clip.info.height)
        sizes[size] = sizes.get(size, 0) + clip.count
    commonest = sorted(sizes, key=lambda size: -sizes[size])[:SIZES]
    measured = {size: _time(extractor, plan, size) for size in commonest}
    frames = sum(count for count, _ in measured.values())
    seconds = sum(spent for _, spent in measured.values())
    rest = seconds / frames
    total = sum(
        count * (measured[size][1] / measured[size][0] if size in measured else rest) for size, count in sizes.items()
    )
    return Calibration(frames, seconds, total)


def _time(extractor: Extractor, plan: Plan, size: tuple[int, int]) -> tuple[int, float]:
    """(frames, seconds) of the longest clip of a size."""
    fitting = [n for n, clip in enumerate(plan.clips) if (clip.info.width, clip.info.height) == size]
    clip = max(fitting, key=lambda n: plan.clips[n].count)
    wanted = min(plan.clips[clip].count, plan.settings["batch"] * (BATCHES + 1))
    frames, begin = _pass(extractor, plan, clip, wanted)
    return frames, time.perf_counter() - begin


def _pass(extractor: Extractor, plan: Plan, clip: int, wanted: int) -> tuple[int, float]:
    """Frames after the first batch, and when that ended; of a single batch, that batch and when it began."""
    times = StageTimes(extractor.device)
    counts: list[int] = []
    begin = started = time.perf_counter()
    for source, _ in run(extractor, decode_segments(plan, [Segment(clip, 0, wanted)], times), ForwardLimit(), times):
        counts.append(len(source.indices))
        if len(counts) == 1:
            begin = time.perf_counter()
    return (counts[0], started) if len(counts) == 1 else (sum(counts[1:]), begin)
