"""A clip: a few words and numbers from which a rendered video and all that is true of it follow; planning many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...stores.errors import InvalidValueError
from .domains import SPLITS, Domain, get_domain
from .motion.mocap import MocapArchive
from .seeding import Array, seeded

CAPTURE = "cmu:"  # a motion of this prefix is a name in the motion capture archive
PROCEDURAL, RECORDED, RICH = MOTIONS = ("procedural", "recorded", "rich")
_MIXED = 0.5  # share of rich clips whose limbs move as in another motion


@dataclass(frozen=True)
class Clip:
    """One video: everything about it is derived from these fields.

    subject  "studio-train-3"; splits share no subject and no room
    motion   a name of `motion.MOTIONS`, or "cmu:" and a name of the archive
    camera   its number in the room; 0 where every clip has its own
    size     pixels, width and height
    rich     the motion is enriched: bent by random angles; limbs: where given, the motion that the limbs are taken from
    """

    domain: str
    split: str
    subject: str
    room: int
    motion: str
    camera: int
    seed: int
    fps: float = 25.0
    frames: int = 100
    size: int = 256
    rich: bool = False
    limbs: str = ""

    @property
    def id(self) -> str:
        """Return a name that is unique among clips of one plan and fit for a file."""
        motions = [self.motion, *([self.limbs] if self.limbs else [])]
        motion = "+".join(name.removeprefix(CAPTURE).replace("/", "-") for name in motions)
        return f"{self.subject}-{motion}-r{self.room}c{self.camera}-{self.seed}"

    @property
    def seconds(self) -> Array:
        """Return (frames,) the instant of each frame."""
        return np.arange(self.frames) / self.fps


def plan_clips(
    domain: str,
    count: int,
    split: str = "train",
    seed: int = 0,
    fps: float = 25.0,
    frames: int = 100,
    size: int = 256,
    archive: MocapArchive | None = None,
    rich: bool = False,
    people: int | None = None,
) -> tuple[Clip, ...]:
    """Plan `count` clips of a domain: who, where, doing what, from which camera. More clips begin with the same.

    With an archive, half of the clips move as people once did, those of the test split by recordings kept for it.
    rich    mix and bend the motions, so that a pose does not follow from its picture (`motion/rich.py`)
    people  how many there are of a split; None: as many as the domain has
    Raises InvalidValueError for an unknown domain (naming the nearest) or split, and for sizes that make no video.
    """
    found = get_domain(domain)
    if split not in SPLITS:
        raise InvalidValueError(f"no split named {split!r}; there are: {', '.join(SPLITS)}")
    if count < 1 or frames < 1 or fps <= 0 or not 32 <= size <= 4096:
        raise InvalidValueError(
            f"{count} clips of {frames} frames at {fps} fps and {size} pixels: counts and fps must be positive, "
            f"the size 32 to 4096"
        )
    clips = []
    for index in range(count):
        rng = seeded("clip", domain, split, seed, index)
        motion = _motion(rng, found, split, archive)
        own = seeded("limbs", domain, split, seed, index)
        mixed = rich and own.random() < _MIXED
        clips.append(
            Clip(
                domain=domain,
                split=split,
                subject=f"{domain}-{split}-{rng.integers(people or found.subjects[split])}",
                room=int(rng.integers(found.rooms[split])),
                motion=motion,
                camera=int(rng.integers(found.cameras)) if found.cameras else 0,
                seed=int(rng.integers(2**31)),
                fps=fps,
                frames=frames,
                size=size,
                rich=rich,
                limbs=_motion(own, found, split, archive) if mixed else "",
            )
        )
    return tuple(clips)


def _motion(rng: np.random.Generator, domain: Domain, split: str, archive: MocapArchive | None) -> str:
    """Draw one of the domain's motions, or, with an archive, as often one of its recordings."""
    motion = _drawn(rng, domain.motions)
    if archive is not None:
        groups = {prefix: archive.group(f"{split}/{prefix}") for prefix in domain.captures}
        captures = {prefix: domain.captures[prefix] for prefix, names in groups.items() if names}
        if captures and rng.random() < 0.5:
            names = groups[_drawn(rng, captures)]
            motion = CAPTURE + names[rng.integers(len(names))]
    return motion


def _drawn(rng: np.random.Generator, weights) -> str:
    names = list(weights)
    chances = np.array([weights[name] for name in names], dtype=float)
    return names[rng.choice(len(names), p=chances / chances.sum())]
