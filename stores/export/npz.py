"""Npz files, and dictionaries of arrays in them that any NumPy can load, also one that is older than ours.

NumPy 2 names its own modules in what it pickles, and NumPy below 1.26, which old projects run on, has no such modules.
So nothing of NumPy's is named here but `numpy.ndarray` and `numpy.array`, which were always there.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

# More costs twice the time and saves nothing: the mantissas of floats are noise.
COMPRESSION = 1


@dataclass(frozen=True)
class Pickled:
    """Plain data and arrays of numbers, for a reader that calls `.item()` on what it loads with allow_pickle."""

    value: Any


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, np.ndarray):
            # A bytearray can be written to, and so can the array on top of it: VideoPose3D normalises in place.
            return np.ndarray, (obj.shape, obj.dtype.str, bytearray(np.ascontiguousarray(obj)))
        return NotImplemented


def dump(value: Any, sink: BinaryIO) -> None:
    """Pickle plain data and arrays of numbers so that any NumPy from 1.0 on loads it as arrays of its own."""
    _Pickler(sink, protocol=4).dump(value)


def write_npz(path: Path, arrays: Iterable[tuple[str, np.ndarray | Pickled]]) -> None:
    """Write a file as `np.savez_compressed` does, faster, and with one array in memory at a time.

    The same arrays give the same bytes.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION) as archive:
        for name, array in arrays:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                if isinstance(array, Pickled):
                    _write_object(file, array.value)
                else:
                    np.lib.format.write_array(file, array, allow_pickle=False)


class _Scalar:
    """Pickles as a call that makes a 0-d array of one object."""

    def __init__(self, value: Any):
        self.value = value

    def __reduce__(self) -> Any:
        return np.array, (self.value, "O")


def _write_object(file: Any, value: Any) -> None:
    """A 0-d array of one object, as `np.save` lays it out."""
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, header)
    file.write(head.getvalue())
    dump(_Scalar(value), file)
