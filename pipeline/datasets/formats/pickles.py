"""Read pickles of arrays and plain containers, as Python 2 wrote them, without running any code in them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import IO, Any

from ....stores.errors import InvalidValueError
from .pickled_arrays import STAND_INS as ARRAYS
from .pickled_arrays import real


def _latin1(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes for Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it encodes text as {encoding}")
    return text.encode("latin1")


class Bare:
    """Stands for an object of a library: its attributes, and none of its code."""

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError(f"an object's state is a {type(state).__name__}")
        self.state: dict[str, Any] = state


class Numbers(Bare):
    """chumpy's arrays, in which SMPL was published."""


class Sparse(Bare):
    """SciPy's matrices by compressed columns."""


def _bare(kind: type, base: type, state: None) -> Bare:
    """copyreg's way to make an object, of stand-ins alone."""
    if not (isinstance(kind, type) and issubclass(kind, Bare)) or base is not object or state is not None:
        raise pickle.UnpicklingError("it makes an object of an unexpected kind")
    return kind()


# What a pickle may name: NumPy's arrays and scalars, and stand-ins. The rest could run code.
_ARRAYS: dict[tuple[str, str], Any] = {**ARRAYS, ("_codecs", "encode"): _latin1}
_STAND_INS: dict[tuple[str, str], Any] = {
    ("chumpy.ch", "Ch"): Numbers,
    **{(f"scipy.sparse.{module}", "csc_matrix"): Sparse for module in ("csc", "_csc")},
    **{(module, "_reconstructor"): _bare for module in ("copy_reg", "copyreg")},
    **{(module, "object"): object for module in ("__builtin__", "builtins")},
}


class _Restricted(pickle.Unpickler):
    allowed = _ARRAYS

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no array")
        return self.allowed[module, name]


class _WithStandIns(_Restricted):
    allowed = _ARRAYS | _STAND_INS


def read_pickle(path: Path, stand_ins: bool = False) -> dict[str, Any]:
    """Read a dictionary of arrays and plain containers.

    stand_ins   objects of chumpy and SciPy come as `Numbers` and `Sparse`; else they are refused as all others
    InvalidValueError for a pickle that holds more: it is refused before anything of it runs.
    """
    with path.open("rb") as file:
        content = load_pickle(file, path.name, stand_ins)
    if not isinstance(content, dict):
        raise InvalidValueError(f"{path.name} holds a {type(content).__name__}, not a dictionary; fetch it again")
    return content


def load_pickle(file: IO[bytes], name: str, stand_ins: bool = False) -> Any:
    """What an open file holds from here on, of arrays and plain containers; errors and options as `read_pickle`."""
    try:
        return real((_WithStandIns if stand_ins else _Restricted)(file, encoding="latin1").load())
    except Exception as error:
        raise InvalidValueError(f"{name} is refused: {error}; fetch it again from the dataset's site") from error
