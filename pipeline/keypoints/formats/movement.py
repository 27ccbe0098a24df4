"""A netCDF of the package `movement`: position (time, space, keypoint, individual) and confidence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ....stores.errors import InvalidValueError, MissingExtraError
from ..detections import Detections, Sequence

_HDF5, _CLASSIC = b"\x89HDF\r\n\x1a\n", b"CDF"
# Dimensions by their names of today and of before its version 0.5.
_KEYPOINT, _INDIVIDUAL = ("keypoint", "keypoints"), ("individual", "individuals")


@dataclass(frozen=True)
class _Variable:
    dimensions: tuple[str, ...]
    values: np.ndarray


def is_movement(path: Path) -> bool:
    """Whether it begins as a netCDF does: of version 4, which is HDF5, or a classic one."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        begin = file.read(8)
    return begin == _HDF5 or begin.startswith(_CLASSIC)


def read_movement(path: Path) -> Detections:
    """One sequence of the file's name; each individual a person.

    InvalidValueError where it is no poses data set of `movement`, or of 3D joints. MissingExtraError without h5py.
    """
    variables, attributes = _read(path)
    position = variables.get("position")
    if position is None or "time" not in position.dimensions or attributes.get("ds_type", "poses") != "poses":
        there = ", ".join(sorted(variables)) or "nothing"
        raise InvalidValueError(f"{path.name} holds {there}: no `position` of poses, as movement writes it")
    names = [dimension for dimension in position.dimensions if dimension not in ("time", "space")]
    keypoint = next((name for name in _KEYPOINT if name in names), None)
    individual = next((name for name in _INDIVIDUAL if name in names), None)
    if keypoint is None or set(names) - {keypoint, individual} or "space" not in position.dimensions:
        raise InvalidValueError(f"{path.name}: position is over {', '.join(position.dimensions)}, not over one video")
    space = _texts(variables.get("space"), position.values.shape[position.dimensions.index("space")])
    if space != ("x", "y"):
        raise InvalidValueError(f"{path.name}: position has {', '.join(space)}; only joints in a picture, x and y")
    joints = _ordered(position, ("time", individual, keypoint, "space"))
    confidence = variables.get("confidence")
    score = None if confidence is None else _ordered(confidence, ("time", individual, keypoint))
    frames, people, count, _ = joints.shape
    fps = attributes.get("fps")
    numbers = _frame_numbers(path, variables.get("time"), frames, fps, str(attributes.get("time_unit", "")))
    order = np.argsort(np.repeat(numbers, people), kind="stable")
    person = _texts(None if individual is None else variables.get(individual), people)
    known = score is not None and np.isfinite(score).any()
    made = Sequence(
        (path.stem,),
        np.repeat(numbers, people)[order],
        joints.reshape(-1, count, 2)[order],
        score.reshape(-1, count)[order] if known and score is not None else None,
        person=np.tile(np.array(person, dtype=str), frames)[order] if people > 1 else None,
        covered=np.unique(numbers),
        fps=float(fps) if fps is not None else None,
    )
    texts = _texts(variables.get(keypoint), count)
    return Detections((made,), joints=texts if not all(text.startswith("keypoint_") for text in texts) else ())


def _frame_numbers(path: Path, time: _Variable | None, frames: int, fps: Any, unit: str) -> np.ndarray:
    """(frames,) int64. Times in seconds are numbers of frames at the file's rate."""
    if time is None:
        return np.arange(frames)
    values = time.values.astype(np.float64)
    if unit == "seconds" and fps is not None:
        values = values * float(fps)
    numbers = np.rint(values)
    if not np.isfinite(values).all() or np.abs(values - numbers).max(initial=0) > 0.1:
        raise InvalidValueError(f"{path.name}: its times are no numbers of frames at {fps} frames a second")
    return numbers.astype(np.int64)


def _ordered(variable: _Variable, wanted: tuple[str | None, ...]) -> np.ndarray:
    """Its values with these dimensions in this order; one that it has not is of length 1."""
    there = [name for name in wanted if name is not None and name in variable.dimensions]
    if len(there) != len(variable.dimensions):
        raise InvalidValueError(f"a variable over {', '.join(variable.dimensions)}, not over {', '.join(there)}")
    values = variable.values.transpose([variable.dimensions.index(name) for name in there]).astype(np.float64)
    for place, name in enumerate(wanted):
        if name is None or name not in variable.dimensions:
            values = np.expand_dims(values, place)
    return values


def _texts(variable: _Variable | None, count: int) -> tuple[str, ...]:
    """The names along a dimension; numbers where it has none."""
    if variable is None:
        return ("x", "y", "z")[:count] if count < 4 else tuple(map(str, range(count)))
    values = variable.values
    if values.dtype.kind == "S" and values.ndim == 2:  # a classic netCDF spells its texts
        values = np.array([b"".join(row.tolist()) for row in values])
    return tuple(
        (value.decode() if isinstance(value, bytes) else str(value)).rstrip("\0 ") for value in values.tolist()
    )


def _read(path: Path) -> tuple[dict[str, _Variable], dict[str, Any]]:
    """Variables and attributes. Axes without a scale of their own name are passed over with their variable."""
    with path.open("rb") as file:
        classic = file.read(3) == _CLASSIC
    try:
        return _read_classic(path) if classic else _read_hdf5(path)
    except (OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InvalidValueError):
            raise
        raise InvalidValueError(f"{path.name} cannot be read as netCDF ({error}); write it again") from error


def _read_hdf5(path: Path) -> tuple[dict[str, _Variable], dict[str, Any]]:
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError("a netCDF needs h5py, not here: pip install 'auglift[prep]'") from error
    variables = {}
    with h5py.File(path, "r") as file:
        for name, data in file.items():
            if not isinstance(data, h5py.Dataset):
                continue
            scales = [axis.keys() for axis in data.dims]
            own = name if data.is_scale else None
            dimensions = tuple(str(keys[0]) if keys else own for keys in scales)
            if all(dimensions) and data.ndim:
                variables[name] = _Variable(tuple(map(str, dimensions)), np.asarray(_plain(data)))
        attributes = {key: _attribute(value) for key, value in file.attrs.items()}
    return variables, attributes


def _plain(data: Any) -> Any:
    """Its values; texts of any length as an array of str."""
    import h5py

    return data.asstr()[()] if h5py.check_string_dtype(data.dtype) else data[()]


def _read_classic(path: Path) -> tuple[dict[str, _Variable], dict[str, Any]]:
    from scipy.io import netcdf_file

    with netcdf_file(path, mmap=False, maskandscale=False) as file:
        variables = {}
        for name, data in file.variables.items():
            values = np.array(data.data)
            if values.dtype.byteorder == ">":
                values = values.astype(values.dtype.newbyteorder("="))
            texts = values.dtype.kind == "S" and values.ndim == 2
            variables[name] = _Variable(tuple(data.dimensions[:1] if texts else data.dimensions), values)
        attributes = {key: _attribute(value) for key, value in file._attributes.items()}
    return variables, attributes


def _attribute(value: Any) -> Any:
    value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    return value.decode() if isinstance(value, bytes) else value
