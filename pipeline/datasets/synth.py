"""`synth`: rendered people as H.264 clips with exact ground truth, drawn once into a cache and read like any video."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from ...stores.errors import CorruptStoreError, InvalidValueError
from ..frames.sources import SourceInfo, probe
from ..plan import Clip
from ..synth import clip as drawing
from ..synth.domains import SPLITS
from ..synth.motion.mocap import MocapArchive, default_cache
from ..synth.planned import UNKNOWN, planned
from ..synth.rendered import DEPTH, MILLIMETRE, TRUTH, VIDEO
from ..synth.scene.camera import HALF_PIXEL

FPS = 25.0
# Of every four clips that are to be of both splits, the fourth is for testing.
TEST_EVERY = 4
# Raised when the same options begin to draw other frames: clips of an older renderer are not mixed with new ones.
RENDERER = 1


@dataclass(frozen=True)
class SynthOptions:
    """What is drawn: the same options give the same videos, byte for byte.

    clips    in all; of split `all`, every fourth is a test clip. The first n of more clips are the same.
    frames   of a clip, at 25 a second; size: width and height, px
    people   of a split; None: as many as the domain has
    rich     motion that is mixed and bent
    """

    domain: str
    clips: int = 40
    split: str = "all"
    frames: int = 100
    size: int = 256
    seed: int = 0
    people: int | None = None
    rich: bool = False

    def plan(self, archive: MocapArchive | None = None, pictures: bool = True) -> tuple[drawing.Clip, ...]:
        """Plan the clips. InvalidValueError for a domain, split or number that cannot be, with the nearest domain."""
        if self.split not in (*SPLITS, "all"):
            raise InvalidValueError(f"no split named {self.split!r}; there are: {', '.join(SPLITS)}, all")
        if self.size % 2 and pictures:
            raise InvalidValueError(f"--size {self.size}: H.264 wants an even number of pixels; try {self.size + 1}")
        parts = {self.split: self.clips}
        if self.split == "all" and self.clips > 0:
            parts = {"train": self.clips - self.clips // TEST_EVERY, "test": self.clips // TEST_EVERY}
        return tuple(
            clip
            for split, count in parts.items()
            if count or split != "test"
            for clip in drawing.plan_clips(
                self.domain, count, split, self.seed, FPS, self.frames, self.size, archive, self.rich, self.people
            )
        )

    def folder(self, cache: Path, captured: bool) -> Path:
        """Return the folder of these clips in a cache. Splits and numbers of clips share it."""
        motion = ("rich-" if self.rich else "") + ("cmu" if captured else "procedural")
        people = f"-{self.people}people" if self.people else ""
        name = f"{self.domain}-{motion}-{self.size}px-{self.frames}f{people}-seed{self.seed}-v{RENDERER}"
        return cache / "synth" / name


@dataclass(frozen=True)
class SynthTruth:
    """The truth of a rendered clip, as `rendered.write_clip` left it.

    motion   what the person does, and where the movement comes from: procedural, or a recording's name
    """

    folder: Path
    motion: str
    rich: bool = False
    fields: tuple[str, ...] = ("target/pose3d", "target/keypoints")

    def describe(self) -> dict[str, Any]:
        digest = hashlib.sha256((self.folder / TRUTH).read_bytes()).hexdigest()
        source = "recorded" if self.motion.startswith(drawing.CAPTURE) else "procedural"
        return {"sha256": digest, "motion": f"rich {source}" if self.rich else source, "less_px": HALF_PIXEL}

    def read(self, source_frames: np.ndarray) -> dict[str, np.ndarray]:
        """Read joints in the camera's frame, m, and the picture, px; `bbox`: the subject's, hidden parts included.

        Pixels are a store's: the centre of the first is 0, where the renderer's file has 0.5.
        """
        arrays = _arrays(self.folder / TRUTH)
        names = {"target/pose3d": "pose3d", "target/keypoints": "keypoints", "bbox": "bbox"}
        found = {name: arrays[key][source_frames] for name, key in names.items()}
        return found | {name: found[name] - np.float32(HALF_PIXEL) for name in ("target/keypoints", "bbox")}

    def intrinsics(self) -> tuple[float, float, float, float]:
        fx, fy, cx, cy = _arrays(self.folder / TRUTH)["intrinsics"].tolist()
        return fx, fy, cx - HALF_PIXEL, cy - HALF_PIXEL


@dataclass(frozen=True)
class SynthTruthWithDepth(SynthTruth):
    """The same, with the exact depth of every pixel."""

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "depth": zarr.open_array(self.folder / DEPTH, mode="r").attrs["sha256"]}

    def depth(self, source_frames: np.ndarray) -> np.ndarray:
        """Return (n, H, W) float32 metres along the optical axis, to half a millimetre; 65.535 also means farther."""
        stored = zarr.open_array(self.folder / DEPTH, mode="r")
        millimetres = np.asarray(stored.oindex[np.asarray(source_frames)])
        return millimetres.astype(np.float32) * np.float32(MILLIMETRE)


def cache_folder(given: Path | None) -> Path:
    """Return where clips are kept: the folder given, else $AUGLIFT_CACHE, else the user's cache folder."""
    return given or default_cache()


def store_clips(
    drawn: Sequence[drawing.Clip], folder: Path, depth: bool, fps: float | None = None, limit: int | None = None
) -> list[Clip]:
    """Return the drawn clips as a plan takes them.

    depth   whether their depth maps were kept
    """
    return [_clip(clip, probe(folder / clip.id / VIDEO), folder, depth, fps, limit) for clip in drawn]


def undrawn_clips(
    wanted: Sequence[drawing.Clip], folder: Path, depth: bool, fps: float | None = None, limit: int | None = None
) -> list[Clip]:
    """Return clips that are not drawn yet: enough to say what would be done. Their cameras are not known."""
    infos = (SourceInfo(folder / c.id / VIDEO, "video", c.size, c.size, c.fps, c.frames, "", False, ()) for c in wanted)
    return [_clip(clip, info, folder, depth, fps, limit) for clip, info in zip(wanted, infos, strict=True)]


def _clip(
    drawn: drawing.Clip, info: SourceInfo, folder: Path, depth: bool, fps: float | None, limit: int | None
) -> Clip:
    truth = (SynthTruthWithDepth if depth else SynthTruth)(folder / drawn.id, drawn.motion, drawn.rich)
    there = (folder / drawn.id / TRUTH).is_file()
    intrinsics = truth.intrinsics() if there else UNKNOWN
    return planned(drawn, info, f"{drawn.id}/{VIDEO}", truth, intrinsics, fps, limit)


@lru_cache(maxsize=64)
def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in ("pose3d", "keypoints", "bbox", "intrinsics")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CorruptStoreError(
            f"{path} cannot be read ({error}); delete {path.parent} and run the command again"
        ) from error
