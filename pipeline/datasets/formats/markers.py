"""Read 3D markers of a TRC file, and make joints of H36M-17 of them."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ....stores.errors import InvalidValueError, MissingFileError
from ....stores.format.skeleton import H36M_17

_METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}

# A joint is the mean of its markers; the first list of which all markers are there is taken. Names as OpenSim and
# Pose2Sim have them (body_25, HALPE_26, COCO_17).
MARKERS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "pelvis": (("Hip",), ("MidHip",), ("RHip", "LHip")),
    "right_hip": (("RHip",),),
    "right_knee": (("RKnee",),),
    "right_ankle": (("RAnkle",),),
    "left_hip": (("LHip",),),
    "left_knee": (("LKnee",),),
    "left_ankle": (("LAnkle",),),
    "spine": (("RHip", "LHip", "RShoulder", "LShoulder"),),
    "thorax": (("Neck",), ("RShoulder", "LShoulder")),
    "nose": (("Nose",),),
    "head": (("Head",), ("REye", "LEye"), ("REar", "LEar")),
    "left_shoulder": (("LShoulder",),),
    "left_elbow": (("LElbow",),),
    "left_wrist": (("LWrist",),),
    "right_shoulder": (("RShoulder",),),
    "right_elbow": (("RElbow",),),
    "right_wrist": (("RWrist",),),
}


@dataclass(frozen=True)
class Trc:
    """A recording of markers.

    names      of the markers
    positions  (T, M, 3) m, in the file's own axes; NaN where a marker was not seen
    rate       frames a second
    """

    names: tuple[str, ...]
    positions: np.ndarray
    rate: float


def read_trc(path: Path) -> Trc:
    """Read a TRC. MissingFileError; InvalidValueError where it is none, or not in m, cm or mm."""
    if not path.is_file():
        raise MissingFileError(f"no markers at {path}; give a TRC file")
    try:
        lines = path.read_text().splitlines()
        header = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=False))
        names = tuple(name for name in lines[3].split("\t")[2:] if name.strip())
        scale, rate = _METRES[header["Units"].strip().lower()], float(header["DataRate"])
        rows = [_row(line, len(names)) for line in lines[5:] if line.strip()]
    except (IndexError, KeyError, ValueError, UnicodeDecodeError) as error:
        raise InvalidValueError(f"{path} is not a TRC of metres, cm or mm: {type(error).__name__} {error}") from error
    if not rows or not names or not rate > 0:
        raise InvalidValueError(f"{path} holds {len(names)} markers, {len(rows)} frames at {rate:g} Hz")
    return Trc(names, np.array(rows).reshape(len(rows), len(names), 3) * scale, rate)


def _row(line: str, markers: int) -> list[float]:
    cells = line.rstrip("\n").split("\t")[2:]
    cells += [""] * (3 * markers - len(cells))
    return [float(cell) if cell.strip() else math.nan for cell in cells[: 3 * markers]]


def read_mapping(path: Path) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Read a user's table: `pelvis = ["LASI", "RASI"]`, a joint the mean of its markers; the rest as in `MARKERS`."""
    if not path.is_file():
        raise MissingFileError(f"no mapping at {path}")
    try:
        table = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidValueError(f"{path} is not TOML: {error}") from error
    for joint, markers in table.items():
        if joint not in H36M_17.joints:
            raise InvalidValueError(f"{path}: no joint '{joint}'; there are {', '.join(H36M_17.joints)}")
        if not isinstance(markers, list) or not markers or not all(isinstance(name, str) for name in markers):
            raise InvalidValueError(f"{path}: {joint} must be a list of markers")
    return {**MARKERS, **{joint: (tuple(markers),) for joint, markers in table.items()}}


def joints_of(trc: Trc, mapping: Mapping[str, tuple[tuple[str, ...], ...]] = MARKERS) -> np.ndarray:
    """Return (T, 17, 3) m, H36M-17 in the file's axes. InvalidValueError for a joint whose markers are not there."""
    columns = []
    for joint in H36M_17.joints:
        lists = mapping[joint]
        found = next((names for names in lists if set(names) <= set(trc.names)), None)
        if found is None:
            wanted = " or ".join("+".join(names) for names in lists)
            raise InvalidValueError(
                f"no markers for {joint}: wanted {wanted}, there are {', '.join(trc.names)}; give a table: --mapping"
            )
        columns.append(trc.positions[:, [trc.names.index(name) for name in found]].mean(axis=1))
    return np.stack(columns, axis=1)
