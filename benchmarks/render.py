"""Does the renderer draw 60 frames a second at 256 x 256 on two cores?

Clips of 64 frames are drawn from start to end by two processes of one thread at the same time, setting the clips up and
everything that is true of the frames included. Frames a second are frames over the processes' processor seconds, times
two: what two cores give that have nothing else to do. Beside it stand the frames a second by the clock, and how much of
the two cores the benchmark got. The last comparison is with the textbook's way: every pixel's ray against every round
cone of every person, in the same arithmetic.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.pool import Pool
from typing import Any

import numpy as np
import torch

from auglift.pipeline.synth.clip import Clip, plan_clips
from auglift.pipeline.synth.domains import DOMAINS
from auglift.pipeline.synth.rendering import geometry
from auglift.pipeline.synth.rendering.backdrop import Rays
from auglift.pipeline.synth.rendering.render import Renderer
from auglift.pipeline.synth.stage import set_stage
from auglift.pipeline.synth.video import render_clip

from .harness import Row, compare, main, peak_memory

FRAMES, BATCH, CORES = 64, 8, 2


def clips(domain: str, count: int, size: int) -> tuple[Clip, ...]:
    return plan_clips(domain, count, seed=1, frames=FRAMES, size=size)


def start() -> None:
    torch.set_num_threads(1)
    next(render_clip(plan_clips("gym", 1, frames=1, size=64)[0]))


def meet(barrier: Any) -> None:
    """What a process of the pool does first."""
    start()
    global _barrier
    _barrier = barrier


def share(work: tuple[Clip, ...]) -> tuple[int, float, float, float]:
    """One process's part: frames, processor seconds, and when it began and ended by the clock that all share."""
    _barrier.wait()
    begin, spent = time.perf_counter(), time.process_time()
    count = sum(len(batch) for clip in work for batch in render_clip(clip, batch=BATCH))
    return count, time.process_time() - spent, begin, time.perf_counter()


def frames_a_second(pool: Pool, domain: str, size: int, count: int, wanted: str | None) -> Row:
    """Two processes, `count` clips each."""
    parts = [clips(domain, count * CORES, size)[index::CORES] for index in range(CORES)]
    frames, spent, begins, ends = zip(*pool.map(share, parts, chunksize=1), strict=True)
    clock = max(ends) - min(begins)
    got = sum(spent) / clock / CORES
    text = f"by the clock {sum(frames) / clock:.3g} frames/s with {got:.0%} of {CORES} cores"
    return Row(
        f"{domain}, {size} px", CORES * sum(frames) / sum(spent), f"frames/s of {CORES} cores", text, None, wanted
    )


def set_up(domain: str, count: int) -> Row:
    """What comes before a clip's first frame."""
    spent = []
    for clip in clips(domain, count, 256):
        begin = time.process_time()
        stage = set_stage(clip)
        Renderer(stage.scene, stage.materials, stage.look, stage.camera, clip.id)
        spent.append(time.process_time() - begin)
    return Row(f"{domain}, setting up a clip of {FRAMES} frames", statistics.median(spent) * 1e3, "ms of processor")


def against_every_ray(size: int, seconds: float) -> Row:
    """A batch of people alone, culled and not."""
    clip = clips("street", 1, size)[0]
    stage = set_stage(clip)
    frames = np.arange(2)
    camera = stage.camera[frames]
    crowd, _ = stage.crowd(frames)
    renderer = Renderer(stage.scene, stage.materials, stage.look, camera[:1], "x")
    still = camera[np.zeros(len(frames), dtype=int)]
    x, y = Rays.of(camera, torch.device("cpu")).grid
    ends = torch.from_numpy(still.to_camera(crowd.ends)).float()
    radius = torch.from_numpy(crowd.radius).float()

    def every_ray() -> None:
        for frame in range(len(frames)):
            table = geometry.cone_table(ends[frame], radius)[..., None].expand(-1, -1, len(x))
            t, _ = geometry.cast_cones(table, (x, y, torch.ones(())))
            t.min(0)

    timing = compare(lambda: renderer.frames(still, crowd, frames), every_ray, seconds, least=3)
    text = f"nearest hit of every ray with every cone, unshaded: {timing.theirs / len(frames) * 1e3:.3g} ms"
    name = f"street, still camera, {size} px: {len(crowd.cut)} cones, shaded frame"
    return Row(name, timing.ours / len(frames) * 1e3, "ms a frame", text, timing.ratio, "> 1")


def prepare(domain: str, size: int, batch: int) -> Callable[[], Any]:
    start()
    clip = clips(domain, 1, size)[0]
    return lambda: [None for _ in render_clip(clip, batch=batch, frames=range(3 * batch))]


def rows(quick: bool) -> list[Row]:
    start()
    count = 1 if quick else 6
    context = multiprocessing.get_context("spawn")
    with context.Pool(CORES, meet, (context.Barrier(CORES),)) as pool:
        found = [frames_a_second(pool, domain, 256, count, ">= 60") for domain in DOMAINS]
        if not quick:
            found += [frames_a_second(pool, domain, 512, 2, None) for domain in DOMAINS]
    found += [set_up(domain, 4) for domain in DOMAINS]
    found.append(against_every_ray(256, 2 if quick else 10))
    memory = peak_memory(prepare, "street", 256, BATCH) / 2**20
    return [*found, Row(f"street, 256 px, batch {BATCH}: peak memory", memory, "MiB")]


if __name__ == "__main__":
    main(rows, __doc__)
