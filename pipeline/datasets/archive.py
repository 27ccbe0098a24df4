"""What the archives have in common: parts that should be there, what is missing or damaged, and clips of the rest."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...stores.errors import AugliftError, InvalidValueError, MissingFileError
from ..device.cores import usable_cores
from ..frames.sources import SourceInfo, probe
from ..plan import Clip, clip_of

_ENDS = 1 << 20
# Videos and ground truth rarely end at the same frame; a difference of more than this share is a damaged file.
MOST_DIFFERENCE = 0.05
# Of the size of the joints' box, what is added on each side for hands, feet and hair.
BOX_MARGIN = 0.1


@dataclass(frozen=True)
class Known:
    """Ground truth of one sequence, a row a source frame; NaN where it is not known.

    pose3d      (T, 17, 3) m, camera frame, H36M-17
    keypoints   (T, 17, 2) px
    intrinsics  fx, fy, cx, cy, px
    size        (width, height) px that the numbers are meant for, where the archive says; else None
    notes       what was found, for the user and the store
    """

    pose3d: np.ndarray
    keypoints: np.ndarray
    intrinsics: tuple[float, float, float, float]
    size: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """One sequence that the archive should hold.

    source   video or folder of images
    files    ground truth
    load     a function of a module, (files, argument) to `Known`
    fps      of a folder of images; a video tells its own
    """

    id: str
    subject: str
    action: str
    camera: str
    split: str
    source: Path
    files: tuple[Path, ...]
    load: Callable[[tuple[Path, ...], Any], Known]
    argument: Any = None
    fps: float | None = None


@dataclass(frozen=True)
class ArchiveTruth:
    """Read by the worker from the archive's own files, once a sequence."""

    load: Callable[[tuple[Path, ...], Any], Known]
    files: tuple[Path, ...]
    argument: Any
    digest: str
    notes: tuple[str, ...] = ()
    fields: tuple[str, ...] = ("target/pose3d", "target/keypoints")

    def describe(self) -> dict[str, Any]:
        return {"digest": self.digest, "part": str(self.argument), "notes": list(self.notes)}

    def read(self, source_frames: np.ndarray) -> dict[str, np.ndarray]:
        """Read frames; NaN behind the end of the ground truth."""
        known = _known(self.load, self.files, self.argument)
        rows = np.asarray(source_frames)
        there = rows < len(known.pose3d)
        pose = np.full((len(rows), 17, 3), math.nan, np.float32)
        flat = np.full((len(rows), 17, 2), math.nan, np.float32)
        pose[there], flat[there] = known.pose3d[rows[there]], known.keypoints[rows[there]]
        low, high = flat.min(axis=1), flat.max(axis=1)
        margin = BOX_MARGIN * (high - low)
        box = np.concatenate([low - margin, high + margin], axis=1)
        return {"target/pose3d": pose, "target/keypoints": flat, "bbox": box}


@dataclass
class Found:
    """What an archive holds.

    expected   parts that should be there
    missing, damaged   a line each
    about      what else the store should say of its ground truth, as plain data
    """

    expected: int
    clips: list[Clip] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def complete(self) -> float:
        """Return the share of the parts that can be used."""
        return len(self.clips) / self.expected if self.expected else 0.0


def gather(dataset: str, root: Path, parts: Sequence[Part], fps: float | None, limit: int | None) -> Found:
    """Make clips of the parts that are there, probed in threads, in the order of the parts."""
    found = Found(len(parts))
    notes: dict[str, list[str]] = {}
    with ThreadPoolExecutor(min(8, 2 * usable_cores())) as pool:
        for part, outcome in zip(
            parts, pool.map(lambda part: _clip(dataset, root, part, fps, limit), parts), strict=True
        ):
            if isinstance(outcome, Clip):
                found.clips.append(outcome)
                truth = outcome.truth
                assert isinstance(truth, ArchiveTruth)
                for note in truth.notes:
                    notes.setdefault(note, []).append(part.id)
            elif isinstance(outcome, MissingFileError):
                found.missing.append(f"{part.id}: {outcome}")
            else:
                found.damaged.append(f"{part.id}: {outcome}")
    for note, ids in notes.items():
        others = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
        found.notes.append(f"{ids[0]}{others}: {note}")
    return found


def _clip(dataset: str, root: Path, part: Part, fps: float | None, limit: int | None) -> Clip | AugliftError:
    for path in (part.source, *part.files):
        if not path.exists():
            return MissingFileError(f"{path.relative_to(root)} is not there")
    try:
        info = probe(part.source, part.fps) if part.source.is_dir() else probe(part.source)
        known = _known(part.load, part.files, part.argument)
        notes = [*known.notes, *_compare(info, known)]
        if fps is not None and info.fps is None:
            notes.append("no frame rate is known: every frame is taken, whatever --fps")
    except AugliftError as error:
        return error
    except Exception as error:  # a file of any content may stand where a ground truth should
        first = str(error).splitlines()[0] if str(error) else ""
        return InvalidValueError(f"{part.files[0].name} cannot be read: {type(error).__name__} {first}")
    digest = digest_of(part.files)
    return clip_of(
        info,
        part.id,
        part.source.relative_to(root).as_posix(),
        fps if info.fps is not None else None,
        limit,
        dataset=dataset,
        subject=part.subject,
        action=part.action,
        camera=part.camera,
        split=part.split,
        intrinsics=known.intrinsics,
        truth=ArchiveTruth(part.load, part.files, part.argument, digest, tuple(notes)),
    )


def _compare(info: SourceInfo, known: Known) -> list[str]:
    """Notes on small differences; InvalidValueError for what cannot belong together."""
    if known.size is not None and known.size != (info.width, info.height):
        raise InvalidValueError(
            f"{info.path.name} is {info.width} x {info.height}, its calibration of {known.size[0]} x {known.size[1]}; "
            "fetch the original"
        )
    frames, rows = info.frame_count, len(known.pose3d)
    notes = []
    if abs(frames - rows) > max(2, MOST_DIFFERENCE * rows):
        raise InvalidValueError(f"{info.path.name} has {frames} frames, its ground truth {rows}; fetch both again")
    if frames != rows:
        notes.append(f"{frames} frames, ground truth for {rows}; the rest has none or is not used")
    unknown = int(np.isnan(known.pose3d).any(axis=(1, 2)).sum())
    if unknown:
        notes.append(f"{unknown} of {rows} frames without ground truth")
    return notes


@lru_cache(maxsize=16)
def _known(load: Callable[[tuple[Path, ...], Any], Known], files: tuple[Path, ...], argument: Any) -> Known:
    known = load(files, argument)
    bad = ~(np.isfinite(known.pose3d).all(axis=(1, 2)) & np.isfinite(known.keypoints).all(axis=(1, 2)))
    pose, flat = known.pose3d.astype(np.float32), known.keypoints.astype(np.float32)
    pose[bad], flat[bad] = math.nan, math.nan  # half a pose is none
    return replace(known, pose3d=pose, keypoints=flat)


def digest_of(files: Sequence[Path]) -> str:
    """Return the SHA-256 of the files' sizes, first and last MiB."""
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(str(size).encode())
        with path.open("rb") as file:
            digest.update(file.read(_ENDS))
            file.seek(max(size - _ENDS, 0))
            digest.update(file.read(_ENDS))
    return digest.hexdigest()


def fit_intrinsics(pose3d: np.ndarray, keypoints: np.ndarray) -> tuple[float, float, float, float]:
    """Fit fx, fy, cx, cy, px, that project (..., 3) m nearest to (..., 2) px, by least squares without NaN rows."""
    points, pixels = pose3d.reshape(-1, 3), keypoints.reshape(-1, 2)
    use = np.isfinite(points).all(axis=1) & np.isfinite(pixels).all(axis=1) & (points[:, 2] > 0)
    if use.sum() < 2:
        raise InvalidValueError("no 3D joint with its place in the picture, so the camera cannot be found")
    found = []
    for axis in (0, 1):
        slope = points[use, axis] / points[use, 2]
        columns = np.stack([slope, np.ones_like(slope)], axis=1)
        found.append(np.linalg.lstsq(columns, pixels[use, axis], rcond=None)[0])
    (fx, cx), (fy, cy) = found
    return float(fx), float(fy), float(cx), float(cy)


def require_folder(root: Path, wanted: str, pattern: str) -> None:
    """Raise MissingFileError, with what was looked for and the nearest found, where no archive lies under the root."""
    if not root.is_dir():
        raise MissingFileError(f"no folder {root}; --root is where the archive was unpacked")
    if any(root.glob(pattern)):
        return
    # One level deeper or higher is the usual mistake.
    near = next(iter(sorted(root.glob(f"*/{pattern}"))), None) or next(iter(sorted(root.parent.glob(pattern))), None)
    there = ", ".join(sorted(path.name for path in root.iterdir())[:5]) or "nothing"
    hint = f"; the nearest is {near}" if near else ""
    raise MissingFileError(f"{root} holds no {wanted} ({pattern}), but {there}{hint}; check --root")
