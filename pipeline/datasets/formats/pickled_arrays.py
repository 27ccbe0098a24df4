"""NumPy's arrays in pickles, made by Python from what the pickle says of them.

NumPy's own code for this trusts what it is given: `numpy.ndarray` takes any bytes for an array of objects, and those
bytes are then addresses. So nothing of NumPy's is called here but `frombuffer` on plain numbers and text.
"""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np

# Numbers, truth values and text; no objects, no records.
_PLAIN = "biufcSU"


class Type:
    """Stands for `numpy.dtype`."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False):
        self.type = np.dtype(code.type if isinstance(code, Type) else _text(code))
        if self.type.kind not in f"{_PLAIN}O" or self.type.subdtype is not None:
            raise pickle.UnpicklingError(f"an array of {self.type}, which are no numbers")

    def __setstate__(self, state: Any) -> None:
        order = _text(state[1])
        if any(part is not None for part in state[2:5]) or order not in "<>|=":
            raise pickle.UnpicklingError("an array of records")
        if order in "<>":
            self.type = self.type.newbyteorder(order)

    def numbers(self, data: Any, shape: Any, order: str = "C") -> np.ndarray:
        """An array of one's own of these bytes."""
        if self.type.kind == "O":
            raise pickle.UnpicklingError("an array of objects made of bytes")
        raw = data.encode("latin1") if isinstance(data, str) else bytes(data)
        shape = tuple(int(side) for side in (shape if isinstance(shape, tuple | list) else (shape,)))
        if len(raw) != self.type.itemsize * math.prod(shape):
            raise pickle.UnpicklingError(f"{len(raw)} bytes for an array of {shape} {self.type}")
        return np.frombuffer(bytearray(raw), self.type).reshape(shape, order=order)  # type: ignore[call-overload]


class Array:
    """Stands for `numpy.ndarray`; `value` is the real one."""

    value: Any = None
    objects: tuple[list[Any], Any] | None = None  # what an array of objects holds, and its shape

    def __init__(self, shape: Any = None, type: Any = None, data: Any = None):
        if data is not None:
            self.value = Type(type).numbers(data, shape)

    def __setstate__(self, state: Any) -> None:
        shape, type, fortran, data = state[-4:]
        if not isinstance(type, Type):
            raise pickle.UnpicklingError("an array of an unexpected type")
        if type.type.kind != "O":
            self.value = type.numbers(data, shape, "F" if fortran else "C")
        elif not isinstance(data, list) or len(data) != math.prod(shape):
            raise pickle.UnpicklingError("an array of objects made of bytes")
        else:
            self.objects = (data, shape)  # NumPy lists them row by row, whatever their order in memory


def _reconstruct(kind: Any, shape: Any, code: Any) -> Array:
    if kind is not Array:
        raise pickle.UnpicklingError("a part of another kind of array")
    return Array()


def _scalar(type: Any, data: Any) -> Any:
    if not isinstance(type, Type):
        raise pickle.UnpicklingError("a number of an unexpected type")
    return type.numbers(data, ())[()]


def _frombuffer(data: Any, type: Any, shape: Any, order: Any) -> Array:
    made = Array()
    made.value = Type(type).numbers(data, shape, "F" if _text(order) == "F" else "C")
    return made


def _array(value: Any, type: Any = None) -> Array:
    """As `stores/export/npz.py` pickles a dictionary: a 0-d array of one object."""
    if _text(type) != "O":
        raise pickle.UnpicklingError("an array made in an unexpected way")
    made = Array()
    made.objects = ([value], ())
    return made


def _no_bytes() -> bytes:
    """How old protocols write none."""
    return b""


def _bytearray(data: bytes = b"") -> bytearray:
    if not isinstance(data, bytes):
        raise pickle.UnpicklingError("bytes made in an unexpected way")
    return bytearray(data)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("latin1")
    if not isinstance(value, str):
        raise pickle.UnpicklingError(f"a {type(value).__name__} where a name should be")
    return value


# What a pickle may name, and what takes its place.
STAND_INS: dict[tuple[str, str], Any] = {
    **{
        (f"numpy.{core}.{module}", name): made
        for core in ("core", "_core")
        for module, name, made in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _frombuffer),
        )
    },
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): Type,
    ("numpy", "array"): _array,
    **{(module, "bytes"): _no_bytes for module in ("__builtin__", "builtins")},
    ("builtins", "bytearray"): _bytearray,
}


def real(content: Any, done: dict[int, tuple[Any, Any]] | None = None) -> Any:
    """The content with real arrays in the stand-ins' places, in containers and in arrays of objects."""
    done = {} if done is None else done
    if id(content) in done:
        return done[id(content)][1]
    if isinstance(content, Type):
        raise pickle.UnpicklingError("a type without an array")
    if isinstance(content, tuple):
        return tuple(real(item, done) for item in content)
    value = content
    if isinstance(content, Array):
        value = content.value if content.objects is None else np.empty(len(content.objects[0]), object)
    done[id(content)] = content, value  # the first keeps its place in memory, and so its number, to itself
    if isinstance(content, Array) and content.objects is not None:
        items, shape = content.objects
        for place, item in enumerate(items):
            value[place] = real(item, done)
        value = value.reshape(shape)
        done[id(content)] = content, value
    elif isinstance(content, dict):
        for key in list(content):
            content[key] = real(content[key], done)
    elif isinstance(content, list):
        content[:] = [real(item, done) for item in content]
    elif hasattr(content, "state"):  # an object's stand-in
        real(vars(content)["state"], done)
    return value
