"""Any video: each index gives the picture with that number, or is marked, in order and by random access; none hangs."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from auglift.pipeline.frames.sources import probe
from auglift.stores.errors import AugliftError

from ....fakes.recipes import GLUABLE, WRITERS, Recipe, combinations, make
from ....fakes.video import corrupt_packet, packet_places, read_all, read_number

# Writers whose damage no decoder can notice, or FFmpeg's does not: uncompressed fields, and what video.py names.
UNNOTICED = ("H.264, fields apart", "H.264, fields together", "HEVC", "VP8", "VP8, hidden", "VP9", "WMV")
# Where a packet that was lost whole leaves no trace, so that the frames behind it are counted without it.
TRACELESS = {"h264", "m2v"}


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """An endless loop is a failure like any other."""

    def stop(*_) -> None:
        raise TimeoutError(f"still reading after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def recipe(seed: int, combination: tuple[str, str, bool] | None = None) -> Recipe:
    """A recipe that depends on nothing but the seed."""
    draw = random.Random(seed)
    writer, ending, bframes = combination or draw.choice(combinations())
    gluable = ending in GLUABLE
    # Of fields that are all keyframes no decoder knows which belong together; a hidden frame needs another.
    gops = {"H.264, open groups": [8, 12], "H.264, intra refresh": [8, 12], "VP8, hidden": [5, 12, 30]}
    gops |= {fields: [5, 12, 30] for fields in ("H.264, fields apart", "H.264, fields together")}
    return Recipe(
        writer,
        ending,
        gop=draw.choice(gops.get(writer, [1, 2, 5, 12, 30])),
        bframes={"MPEG-4, packed": 2, "H.264, open groups": 3}.get(writer, draw.randrange(4)) if bframes else 0,
        steps=draw.choice([(), (), (100, 50, 250), (100, 100, 100, 170), (30, 400)]),
        offset=draw.choice([0, 0, 1234, 90_000]),
        parts=tuple(draw.choice([7, 20, 33]) for _ in range(draw.choice([1, 2, 2]) if gluable else 1)),
        overlap=draw.choice([None, None, 0, 1, 3, 10]),
        cut=draw.choice([1, 1, 0.9, 0.6, 0.35]),
        beheaded=draw.choice([0, 0, 0.3, 0.55]) if gluable else 0,
    )


def read_both_ways(path: Path, step: int, same_bytes: bool = True) -> tuple[list[int | None], list[str | None]]:
    """The number in each frame's picture, None where it is marked; and the reasons. One by one gives the same."""
    count = probe(path).frame_count
    frames, ok, reasons = read_all(path, range(count))
    for index in range(0, count, step):
        (frame,), (sound,), (reason,) = read_all(path, [index], threads=1)
        assert reason == reasons[index], f"frame {index} alone"
        assert not sound or not same_bytes or (frame == frames[index]).all(), f"frame {index} alone"
    return [read_number(frame) if sound else None for frame, sound in zip(frames, ok, strict=True)], reasons


def check(wanted: Recipe, folder: Path, step: int) -> None:
    """Raises AssertionError where a frame is not what its index says."""
    path = make(wanted, folder)
    whole = wanted.cut == 1 and not wanted.beheaded
    with time_limit(60):
        try:
            numbers, reasons = read_both_ways(path, step)
        except AugliftError:
            assert not whole
            return
    seen = [(index, number) for index, number in enumerate(numbers) if number is not None]
    if whole:
        assert len(numbers) == sum(wanted.parts)
        assert all(index == number for index, number in seen)
        # MPEG-TS cannot tell a part that ends where the next begins from a loss.
        joint = wanted.parts[0]
        lost = range(joint - 4, joint) if len(wanted.parts) > 1 and wanted.overlap == 0 else range(0)
        assert all(index in lost for index, number in enumerate(numbers) if number is None), reasons
        return
    assert all(one < two for (_, one), (_, two) in pairwise(seen))
    bounds = np.cumsum((0, *wanted.parts)).tolist()
    for part, (first, end) in enumerate(pairwise(bounds)):
        inside = [(index, number) for index, number in seen if first <= number < end]
        if wanted.cut < 1 and end == bounds[-1]:  # what is missing may belong before the last ones
            inside = inside[: len(inside) - wanted.bframes]
        shifts = {number - index for index, number in inside}
        assert len(shifts) <= 1, f"a frame of part {part} is not counted"
        assert part or wanted.beheaded or shifts <= {0}


@pytest.mark.parametrize("combination", combinations(), ids=lambda c: f"{c[0]} in {c[1]}")
def test_every_index_gives_its_picture_or_is_marked(combination, tmp_path):
    check(recipe(combinations().index(combination), combination), tmp_path, step=4)


@pytest.mark.slow
@pytest.mark.parametrize("hundred", range(12))
def test_every_index_gives_its_picture_or_is_marked_in_many_videos(hundred, tmp_path):
    for seed in range(100 * hundred, 100 * hundred + 100):
        folder = tmp_path / str(seed)
        folder.mkdir()
        wanted = recipe(seed)
        try:
            check(wanted, folder, step=1)
        except (AssertionError, TimeoutError) as error:
            raise AssertionError(f"seed {seed}: {wanted}") from error


def damaged(seed: int, folder: Path) -> tuple[Recipe, Path, float]:
    """A video of 30 frames with noise at the end of one of its packets, and the share of the packet that is noise."""
    draw = random.Random(seed)
    writer, ending, bframes = draw.choice([c for c in combinations() if c[1] not in ("ts", "m2ts", "mpg", "wmv")])
    count = {"MPEG-4, packed": 2, "H.264, open groups": 3}.get(writer, draw.choice([0, 2, 3])) if bframes else 0
    wanted = Recipe(writer, ending, gop=draw.choice([5, 8, 12]), bframes=count)
    path, share = make(wanted, folder), draw.choice([1.0, 0.6, 0.3])
    corrupt_packet(path, draw.randrange(len(packet_places(path))), share, seed)
    return wanted, path, share


def check_damaged(seed: int, folder: Path) -> None:
    wanted, path, share = damaged(seed, folder)
    with time_limit(60):
        # What VP8's decoder makes of damage that it does not notice depends on what it decoded before.
        numbers, reasons = read_both_ways(path, 3, same_bytes=not wanted.writer.startswith("VP8"))
        _, _, same = read_all(path, range(len(numbers)), threads=4)
    assert same == reasons
    if wanted.ending in TRACELESS:
        return
    # Of a packet that is noise from its first byte on, nobody can say whether it was one of those that give no frame.
    give_frames = wanted.writer not in ("VP8, hidden", "MPEG-4, not coded", "H.264, fields apart", "MPEG-4, packed")
    assert len(numbers) == 30 or (share == 1 and not give_frames) or wanted.writer == "MPEG-4, packed"
    if wanted.writer not in UNNOTICED and len(numbers) == 30:
        assert all(number in (None, index) for index, number in enumerate(numbers)), numbers


@pytest.mark.slow
@pytest.mark.parametrize("fifty", range(10))
def test_what_is_predicted_from_damage_is_marked_in_many_videos(fifty, tmp_path):
    for seed in range(50 * fifty, 50 * fifty + 50):
        folder = tmp_path / str(seed)
        folder.mkdir()
        try:
            check_damaged(seed, folder)
        except (AssertionError, TimeoutError) as error:
            raise AssertionError(f"seed {seed}") from error


def test_every_writer_is_in_a_recipe():
    assert {writer for writer, _, _ in combinations()} == set(WRITERS)
