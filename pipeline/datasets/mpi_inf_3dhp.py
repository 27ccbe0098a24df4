"""`mpi-inf-3dhp`: the train part in MATLAB v5 and AVI, the test part in MATLAB v7.3 (HDF5) and images."""

from __future__ import annotations

import math
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...stores.errors import InvalidValueError
from .archive import Found, Known, Part, fit_intrinsics, gather, require_folder
from .joints import MPI_17_TO_H36M, MPI_28
from .table import subjects_of

CAMERAS = (0, 1, 2, 4, 5, 6, 7, 8)
SIZE = (2048, 2048)
TEST_SIZES = {"TS5": (1920, 1080), "TS6": (1920, 1080)}
# The two kinds of its ground truth: metric, and scaled about the pelvis to one size of person.
METRIC, SCALED = "annot3", "univ_annot3"


def mpi_inf_3dhp(
    root: Path,
    split: str = "all",
    fps: float | None = None,
    limit: int | None = None,
    annotation: str = METRIC,
) -> Found:
    """A clip a subject, sequence and camera; of the test part, a clip a subject, valid frames only having truth.

    annotation   METRIC or SCALED; intrinsics are those of the metric one in either case
    """
    require_folder(root, "sequence of MPI-INF-3DHP", "*S[0-9]")
    parts = []
    for subject, part in subjects_of("mpi-inf-3dhp", split, root):
        if part == "test":
            folder = root / subject
            source, files = folder / "imageSequence", (folder / "annot_data.mat",)
            which = _argument(subject, annotation)
            parts.append(Part(subject, subject, "", "", part, source, files, _load_test, which))
            continue
        for sequence in ("Seq1", "Seq2"):
            folder = root / subject / sequence
            files = (folder / "annot.mat", folder / "camera.calibration")
            parts += [
                Part(
                    f"{subject}/{sequence}/{camera}",
                    subject,
                    sequence,
                    str(camera),
                    part,
                    folder / "imageSequence" / f"video_{camera}.avi",
                    files,
                    _load_train,
                    _argument(camera, annotation),
                )
                for camera in CAMERAS
            ]
    found = gather("mpi-inf-3dhp", root, parts, fps, limit)
    found.about["annotation"] = annotation
    if annotation == SCALED:
        found.notes.append(f"ground truth is {SCALED}: bodies scaled to one size, so the 2D joints lie off them")
    return found


def _argument(place: int | str, annotation: str) -> Any:
    """Of the metric truth the place alone, as in stores that are there already: it is in their fingerprint."""
    return place if annotation == METRIC else (place, annotation)


def _parted(argument: Any) -> tuple[Any, str]:
    return argument if isinstance(argument, tuple) else (argument, METRIC)


def _load_train(files: tuple[Path, ...], argument: Any) -> Known:
    camera, annotation = _parted(argument)
    solid, flat = _annotations(files[0], annotation)
    size, intrinsics = read_skeletool(files[1])[camera]
    pose = solid[camera].reshape(-1, 28, 3)[:, MPI_28] / 1000
    keypoints = flat[camera].reshape(-1, 28, 2)[:, MPI_28]
    return Known(pose, keypoints, intrinsics, size)


# A file of all cameras is large: threads that want it wait for the one that reads it.
_READING = threading.Lock()


def _annotations(path: Path, annotation: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    with _READING:
        return _read_annotations(path, annotation)


@lru_cache(maxsize=2)
def _read_annotations(path: Path, annotation: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(T, 84) mm and (T, 56) px for each camera."""
    from scipy.io import loadmat

    names = (annotation, "annot2")
    try:
        found = loadmat(path, variable_names=names)
        cells = [[np.asarray(cell, np.float64) for cell in found[name].ravel()] for name in names]
    except (KeyError, TypeError, ValueError, OSError, NotImplementedError) as error:
        raise InvalidValueError(
            f"{path.name} is no MATLAB v5 file with annot2 and {annotation}; fetch it again"
        ) from error
    return cells[0], cells[1]


def read_skeletool(path: Path) -> dict[int, tuple[tuple[int, int], tuple[float, float, float, float]]]:
    """Read a `camera.calibration`: the camera's number to its size and fx, fy, cx, cy, px.

    A header, then keyed lines for each camera, split at any white space. InvalidValueError where it is not that.
    """
    cameras: dict[int, tuple[tuple[int, int], tuple[float, float, float, float]]] = {}
    name, size = -1, SIZE
    try:
        lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
        if lines[0][0] != "Skeletool":
            raise ValueError("no Skeletool header")
        for key, *values in lines[1:]:
            if key == "name":
                name = int(values[0])
            elif key == "size":
                size = (int(float(values[0])), int(float(values[1])))
            elif key == "intrinsic":
                matrix = np.array([float(value) for value in values]).reshape(4, 4)
                fx, fy, cx, cy = (float(matrix[i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
                cameras[name] = (size, (fx, fy, cx, cy))
    except (IndexError, ValueError, UnicodeDecodeError) as error:
        raise InvalidValueError(f"{path.name} is no Skeletool camera calibration ({error}); fetch it again") from error
    if not set(CAMERAS) <= set(cameras):
        lacking = ", ".join(str(camera) for camera in CAMERAS if camera not in cameras)
        raise InvalidValueError(f"{path.name} has no camera {lacking}; fetch it again")
    return cameras


def _load_test(files: tuple[Path, ...], argument: Any) -> Known:
    import h5py

    subject, annotation = _parted(argument)
    try:
        with h5py.File(files[0], "r") as file:  # MATLAB's axes come out in reverse order
            valid = np.asarray(file["valid_frame"]).ravel() > 0
            metric, pose = (
                np.asarray(file[name], np.float64).reshape(len(valid), 17, 3)[:, MPI_17_TO_H36M] / 1000
                for name in (METRIC, annotation)
            )
            keypoints = np.asarray(file["annot2"], np.float64).reshape(len(valid), 17, 2)[:, MPI_17_TO_H36M]
    except (OSError, KeyError, ValueError) as error:
        raise InvalidValueError(
            f"{files[0].name} is no MATLAB v7.3 file with annot2, {annotation} and valid_frame; fetch it again"
        ) from error
    for values in (metric, pose, keypoints):
        values[~valid] = math.nan
    return Known(pose, keypoints, fit_intrinsics(metric, keypoints), TEST_SIZES.get(subject, SIZE))
