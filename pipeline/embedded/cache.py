"""A cache of rendered frames: flat arrays in a folder, because rendering a frame costs more than training on it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from ...stores.errors import InvalidValueError
from ..synth.clip import plan_clips
from ..synth.domains import DOMAINS
from ..synth.motion.mocap import MocapArchive
from ..synth.seeding import seeded
from ..synth.video import render_clip

PEOPLE = 4  # the subject and up to three passers-by, as in the domains

# name -> shape of a frame's entry and type; the meaning is that of `synth.video.Batch`.
_FIELDS: Mapping[str, tuple[tuple[int, ...], type]] = {
    "image": ((-1, -1, 3), np.uint8),
    "depth": ((-1, -1), np.float16),  # metres, up to 3 mm off at 4 m
    "person": ((-1, -1), np.uint8),
    "keypoints_coco": ((17, 2), np.float32),
    "visible_coco": ((17,), np.bool_),
    "keypoints_h36m": ((17, 2), np.float32),
    "visible_h36m": ((17,), np.bool_),
    "joints_h36m": ((17, 3), np.float32),
    "boxes": ((PEOPLE, 4), np.float32),
    "hidden": ((PEOPLE,), np.float32),
    "domain": ((), np.uint8),  # its place in DOMAINS
}


@dataclass(frozen=True)
class CachePlan:
    """What is rendered: the same plan gives the same frames.

    clips      number of clips, of one subject in one place each; the domains take turns, and the street, which varies
               most, comes twice as often
    per_clip   frames of a clip, at random instants
    """

    split: str = "train"
    seed: int = 0
    clips: int = 1500
    per_clip: int = 8
    size: int = 256
    mocap: bool = True


@dataclass(frozen=True)
class FrameCache:
    """Frames and their truth, N of each, as read-only arrays; see `synth.video.Batch` for units."""

    image: np.ndarray
    depth: np.ndarray
    person: np.ndarray
    keypoints_coco: np.ndarray
    visible_coco: np.ndarray
    keypoints_h36m: np.ndarray
    visible_h36m: np.ndarray
    joints_h36m: np.ndarray
    boxes: np.ndarray
    hidden: np.ndarray
    domain: np.ndarray

    def __len__(self) -> int:
        return len(self.image)


def render_cache(folder: Path, plan: CachePlan, archive: Path | None = None, workers: int = 1) -> FrameCache:
    """Return the frames of a plan; those that are not in `folder` yet are rendered into it.

    archive  the motion capture archive; None for procedural motion only
    A second call after an interruption continues. InvalidValueError if the folder holds the frames of another plan.
    """
    if plan.clips < 1 or plan.per_clip < 1:
        raise InvalidValueError(f"a cache needs clips and frames of them, not {plan.clips} and {plan.per_clip}")
    plan = CachePlan(**{**asdict(plan), "mocap": archive is not None})
    folder.mkdir(parents=True, exist_ok=True)
    note, text = folder / "plan.json", json.dumps(asdict(plan), sort_keys=True)
    if note.is_file() and note.read_text() != text:
        raise InvalidValueError(f"{folder} holds other frames ({note.read_text()}): give another folder, or delete it")
    if not note.is_file():
        _create(folder, plan)
        part = note.with_suffix(".part")
        part.write_text(text)
        part.replace(note)
    done = np.lib.format.open_memmap(folder / "done.npy", mode="r+")
    todo = [index for index in range(plan.clips) if not done[index]]
    if todo and workers <= 1:
        for index in todo:
            done[_draw(folder, plan, archive, index)] = 1
    elif todo:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
            for index in pool.map(_draw, *zip(*((folder, plan, archive, i) for i in todo), strict=True), chunksize=4):
                done[index] = 1
    return FrameCache(**{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _FIELDS})


def _one_thread() -> None:
    torch.set_num_threads(1)


def _create(folder: Path, plan: CachePlan) -> None:
    count = plan.clips * plan.per_clip
    for name, (shape, kind) in _FIELDS.items():
        shape = tuple(plan.size if side == -1 else side for side in shape)
        np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=kind, shape=(count, *shape))
    np.lib.format.open_memmap(folder / "done.npy", mode="w+", dtype=np.uint8, shape=(plan.clips,))


_TURNS = ("studio", "street", "greenscreen", "gym", "street")
_archives: dict[tuple[int, Path], MocapArchive] = {}  # for each process: an open file does not survive a fork


def _draw(folder: Path, plan: CachePlan, archive: Path | None, index: int) -> int:
    """Render clip `index` of the plan into the arrays, and return the index."""
    domain = _TURNS[index % len(_TURNS)]
    captures = None
    if archive is not None:
        key = (os.getpid(), archive)
        captures = _archives[key] if key in _archives else _archives.setdefault(key, MocapArchive(archive))
    # Each clip has its own seed: as the index-th clip of one seed, all clips before it would be planned again.
    clip = plan_clips(domain, 1, plan.split, plan.seed * 1_000_003 + index, size=plan.size, archive=captures)[0]
    rng = seeded("frames", plan.split, plan.seed, index)
    frames = np.sort(rng.choice(clip.frames, plan.per_clip, replace=plan.per_clip > clip.frames))
    arrays = {name: np.lib.format.open_memmap(folder / f"{name}.npy", mode="r+") for name in _FIELDS}
    start = index * plan.per_clip
    for batch in render_clip(clip, captures, frames=frames.tolist()):
        part = slice(start, start + len(batch))
        for name, array in arrays.items():
            if name == "domain":
                array[part] = list(DOMAINS).index(domain)
            elif name in ("boxes", "hidden"):
                values = getattr(batch, name).numpy()
                array[part] = np.nan
                array[part, : values.shape[1]] = values
            else:
                array[part] = getattr(batch, name).numpy()
        start += len(batch)
    return index
