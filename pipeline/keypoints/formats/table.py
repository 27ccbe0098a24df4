"""The formats of 2D joints, and which of them a path holds: recognised by what is in it, not by its name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ....stores.errors import InvalidValueError, MissingFileError
from ...frames.names import natural, readable
from ..detections import Detections
from .auglift_store import is_store, read_store
from .coco import is_coco, read_coco
from .frames import read_frames
from .json_files import load_json, looks_like_json
from .mmpose import is_mmpose, mmpose_people, read_mmpose
from .movement import is_movement, read_movement
from .openpose import openpose_people
from .sports2d import is_trc, read_sports2d
from .videopose3d import is_videopose3d, read_videopose3d


@dataclass(frozen=True)
class Format:
    meaning: str
    read: Callable[[str], Detections]


def _frames(people: Callable[[Path, Any], Any]) -> Callable[[str], Detections]:
    return lambda place: read_frames(_files(Path(place)), people)


def _each(read: Callable[[Path], Detections]) -> Callable[[str], Detections]:
    """Of a file; of a folder, of each JSON file in it."""

    def together(place: str) -> Detections:
        path = Path(place)
        parts = [read(file) for file in _files(path)]
        counts = {part.joint_count for part in parts}
        if len(counts) > 1:
            raise InvalidValueError(f"{path}: files of {min(counts)} and of {max(counts)} joints; keep one kind")
        return Detections(tuple(each for part in parts for each in part.sequences), parts[0].joints, parts[0].skeleton)

    return together


FORMATS: dict[str, Format] = {
    "auglift": Format("another auglift store", read_store),
    "videopose3d": Format("VideoPose3D's npz with positions_2d", _each(read_videopose3d)),
    "movement": Format("a netCDF of movement", _each(read_movement)),
    "mmpose": Format("MMPose's JSON of a video's predictions, or a folder of them", _each(read_mmpose)),
    "mmpose-frames": Format("a folder of MMPose's JSON of predictions, a file a picture", _frames(mmpose_people)),
    "openpose": Format("a folder of OpenPose's or Pose2Sim's JSON, a file a frame", _frames(openpose_people)),
    "sports2d": Format("Sports2D's TRC in px, or a folder of them", lambda place: read_sports2d(_files(Path(place)))),
    "coco": Format("COCO keypoint results (AlphaPose too) or a COCO data set", _each(read_coco)),
}


def format_of(place: str) -> str:
    """A key of FORMATS. InvalidValueError where it is none of them, MissingFileError where nothing is there."""
    if is_store(place):
        return "auglift"
    path = Path(place)
    if not path.exists():
        raise MissingFileError(f"no 2D joints at {readable(place)}; check the path")
    if path.is_dir():
        files = _files(path)
        if not files:
            raise _unknown(path, "a folder without a JSON file or a TRC in px, and no store")
        return "sports2d" if is_trc(files[0]) else _json_format(files[0], frames=True)
    for name, is_one in (("videopose3d", is_videopose3d), ("movement", is_movement), ("sports2d", is_trc)):
        if is_one(path):
            return name
    if looks_like_json(path):
        return _json_format(path, frames=False)
    raise _unknown(path, "no file of 2D joints that is known")


def _json_format(path: Path, frames: bool) -> str:
    content = load_json(path)
    if is_mmpose(content):
        return "mmpose"
    if is_coco(content):
        return "coco"
    if frames and openpose_people(path, content) is not None:
        return "openpose"
    if frames and mmpose_people(path, content) is not None:
        return "mmpose-frames"
    if isinstance(content, dict) and "people" in content:
        raise InvalidValueError(f"{path.name} is one frame of OpenPose's; name the folder that holds all of them")
    raise _unknown(path, "JSON of another kind")


def _unknown(path: Path, what: str) -> InvalidValueError:
    known = "; ".join(known.meaning for known in FORMATS.values())
    return InvalidValueError(f"{readable(str(path))} is {what}; --keypoints takes {known}")


def _files(path: Path) -> list[Path]:
    """A file itself; of a folder its JSON files, else those in the folders in it, else its TRC files in px."""
    if not path.is_dir():
        return [path]
    for pattern in ("*.json", "*/*.json", "*_px*.trc"):
        found = [each for each in path.glob(pattern) if not each.name.startswith(".") and each.is_file()]
        if found:
            return sorted(found, key=lambda each: natural(each.relative_to(path).as_posix()))
    return []


@lru_cache(maxsize=2)
def read_detections(place: str, format: str, sha256: str) -> Detections:
    """What a path holds, kept for who reads it again: a worker reads it batch by batch.

    sha256   what `digest` says of it. Raises InvalidValueError where it is another by now.
    """
    found = FORMATS[format].read(place)
    if digest(place, format, found) != sha256:
        raise InvalidValueError(f"{readable(place)} has changed since the job began; run the command again")
    return found


def digest(place: str, format: str, found: Detections | None = None) -> str:
    """SHA-256 of the bytes of a file, of a folder's files and their names; of a store, of the joints in it."""
    made = hashlib.sha256()
    if format == "auglift":
        for each in (found or read_store(place)).sequences:
            made.update("\0".join(each.names).encode())
            for values in (each.frame, each.keypoints, each.score, each.box, each.box_score, each.covered):
                if values is not None:
                    made.update(values.tobytes())
        return made.hexdigest()
    path = Path(place)
    if not path.is_dir():
        return _of_file(path)
    for file in _files(path):
        made.update(f"{file.relative_to(path).as_posix()}\0{_of_file(file)}\0".encode())
    return made.hexdigest()


def _of_file(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
