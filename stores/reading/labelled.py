"""A store as xarray sees it: lazy, with names on every axis; and a sequence as the package `movement` takes poses.

Nothing is read before its values are used, also without dask: each variable knows its store and reads the frames that
are wanted. What is missing or damaged is an error, as everywhere, and never NaN.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..errors import InvalidValueError, MissingExtraError
from ..format.schema import Field
from ..format.sequences import SequenceTable
from ..format.skeleton import H36M_17

if TYPE_CHECKING:
    import xarray

FeatureStore: TypeAlias = Any  # of store.py, which imports this file

# Frames that lie so near to one another are read together.
GAP = 512

# `movement` called two of its dimensions `keypoints` and `individuals` before this version.
SINGULAR_SINCE = (0, 17)
PERSON = "person"


def to_xarray(store: FeatureStore, sequences: SequenceTable | Iterable[str] | str | None = None) -> xarray.Dataset:
    """As `FeatureStore.to_xarray`."""
    xr = _xarray()
    frames = _frames(store, sequences)
    count = store.frames if frames is None else len(frames)
    variables: dict[str, Any] = {}
    coordinates: dict[str, Any] = {}
    for name, spec in store.fields.items():
        values = _lazy(_FieldOf(store, frames, name), (count, *spec.shape), np.dtype(spec.dtype))
        about = {"units": spec.unit, "long_name": spec.meaning}
        variables[name] = xr.Variable(("frame", *spec.dimensions), values, about)
        coordinates |= _names(spec)
    times = _lazy(_TimeOf(store, frames), (count,), np.dtype(np.float64))
    coordinates["time"] = ("frame", times, {"long_name": "seconds since the sequence began; NaN: no frame rate"})
    which = _IdOf(store, frames)
    ids = _lazy(which, (count,), which.ids.dtype)
    coordinates["sequence"] = ("frame", ids, {"long_name": "id of the sequence"})
    return xr.Dataset(
        variables,
        {name: xr.Variable(*value) for name, value in coordinates.items()},
        {
            "dataset": store.attributes.get("dataset", ""),
            "fingerprint": store.attributes["fingerprint"],
            "skeleton": store.attributes.get("skeleton", {}).get("name", ""),
            "warnings": list(store.attributes.get("warnings", [])),
        },
    )


def to_movement(store: FeatureStore, sequence: str, positions: str = "keypoints") -> xarray.Dataset:
    """As `FeatureStore.to_movement`."""
    xr = _xarray()
    store.require([positions])
    spec = store.fields[positions]
    if spec.dimensions not in (("joint", "xy"), ("joint", "xyz")):
        raise InvalidValueError(f"'{positions}' holds no positions of joints: keypoints and target/pose3d do")
    (row,) = store.sequences.select(id=sequence)
    position = store.read(positions, row.start, row.stop).transpose(0, 2, 1)[..., None]
    family = positions.partition("@")[1:]
    score = "".join(("score", *family))
    own = not positions.startswith("target/") and score in store.fields  # the truth has no confidence
    confidence = store.read(score, row.start, row.stop)[..., None] if own else np.full_like(position[:, 0], np.nan)
    known = np.isfinite(row.fps) and row.fps > 0
    keypoint, individual = movement_dimensions()
    rate = {"fps": float(row.fps)} if known else {}
    return xr.Dataset(
        {
            "position": (("time", "space", keypoint, individual), position),
            "confidence": (("time", keypoint, individual), confidence),
        },
        {
            "time": np.arange(row.length) / row.fps if known else np.arange(row.length),
            "space": list("xyz"[: spec.shape[1]]),
            keypoint: list(H36M_17.joints),
            individual: [PERSON],
        },
        {"source_software": "auglift", "ds_type": "poses", "time_unit": "seconds" if known else "frames", **rate},
    )


def movement_dimensions() -> tuple[str, str]:
    """What `movement` calls the axes of joints and people: as the installed one does; without one, as it does now."""
    try:
        version = tuple(int(part) for part in metadata.version("movement").split(".")[:2])
    except (metadata.PackageNotFoundError, ValueError):
        version = SINGULAR_SINCE
    return ("keypoint", "individual") if version >= SINGULAR_SINCE else ("keypoints", "individuals")


def _names(spec: Field) -> Mapping[str, Any]:
    """Coordinates of the axes that have names: joints, and what lies along the last axis."""
    found: dict[str, Any] = {}
    if "joint" in spec.dimensions:
        found["joint"] = ("joint", list(H36M_17.joints))
    if spec.components and spec.dimensions:
        found[spec.dimensions[-1]] = (spec.dimensions[-1], list(spec.components))
    return found


def _frames(store: FeatureStore, sequences: SequenceTable | Iterable[str] | str | None) -> np.ndarray | None:
    """(frames,) int64: which of the store's frames, in its order. None for all: a list of them would be long."""
    if sequences is None:
        return None
    if not isinstance(sequences, SequenceTable):
        ids = [sequences] if isinstance(sequences, str) else list(sequences)
        if not ids:
            raise InvalidValueError("no sequence is named; leave the argument out for all of them")
        there = set(store.sequences.table["id"].to_pylist())
        unknown = [id for id in ids if id not in there]
        if unknown:
            raise InvalidValueError(f"the store has no sequence {', '.join(map(repr, unknown[:5]))}")
        chosen: SequenceTable = store.sequences.select(id=ids)
    else:
        chosen = sequences
    starts, lengths = chosen.starts, chosen.lengths
    ends = np.cumsum(lengths)
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(int(lengths.sum()))


@dataclass(frozen=True)
class _Of:
    """From rows of a dataset, (n,), to values, (n, ...). Plain data, so that it travels to other processes."""

    store: FeatureStore
    frames: np.ndarray | None

    def at(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The store's frames, and which sequence each is of, as a row of the table."""
        frames = rows if self.frames is None else self.frames[rows]
        return frames, np.searchsorted(self.store.sequences.starts, frames, side="right") - 1

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        raise NotImplementedError


@dataclass(frozen=True)
class _TimeOf(_Of):
    def __call__(self, rows: np.ndarray) -> np.ndarray:
        frames, sequence = self.at(rows)
        rates = self.store.sequences.table["fps"].to_numpy()[sequence]
        return (frames - self.store.sequences.starts[sequence]) / rates


@dataclass(frozen=True)
class _IdOf(_Of):
    @cached_property
    def ids(self) -> np.ndarray:
        return self.store.sequences.table["id"].to_numpy(zero_copy_only=False).astype(str)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return self.ids[self.at(rows)[1]]


@dataclass(frozen=True)
class _FieldOf(_Of):
    name: str

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Frames that lie near to one another are read together, others are not."""
        wanted = rows if self.frames is None else self.frames[rows]
        spec = self.store.fields[self.name]
        values = np.empty((len(wanted), *spec.shape), np.dtype(spec.dtype))
        order = np.argsort(wanted, kind="stable")
        ascending = wanted[order]
        for part in np.split(np.arange(len(wanted)), np.flatnonzero(np.diff(ascending) > GAP) + 1):
            if len(part):
                low = int(ascending[part[0]])
                block = self.store.read(self.name, low, int(ascending[part[-1]]) + 1)
                values[order[part]] = block[ascending[part] - low]
        return values


def _lazy(read: _Of, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """An array that xarray indexes without reading it."""
    from xarray.core import indexing

    return indexing.LazilyIndexedArray(_rows(read, shape, dtype))


def _rows(read: _Of, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    return _rows_class()(read, shape, dtype)


@cache
def _rows_class() -> type:
    """Made when it is first used: its base is xarray's, which need not be installed."""
    from xarray.backends import BackendArray
    from xarray.core import indexing

    class Rows(BackendArray):
        """Rows are read, the other axes indexed in memory."""

        def __init__(self, read: _Of, shape: tuple[int, ...], dtype: np.dtype):
            self.read, self.shape, self.dtype = read, shape, dtype

        def __reduce__(self):
            return _rows, (self.read, self.shape, self.dtype)

        def __getitem__(self, key: Any) -> Any:
            support = indexing.IndexingSupport.OUTER
            return indexing.explicit_indexing_adapter(key, self.shape, support, self._outer)

        def _outer(self, key: tuple[Any, ...]) -> np.ndarray:
            first, *rest = key
            one = isinstance(first, int | np.integer)
            rows = np.arange(*first.indices(self.shape[0])) if isinstance(first, slice) else np.asarray(first)
            values = self.read(np.atleast_1d(rows))
            for axis, part in reversed(list(enumerate(rest, 1))):
                values = values[(slice(None),) * axis + (part,)]
            return values[0] if one else values

    return Rows


def _xarray() -> Any:
    try:
        import xarray
    except ImportError as error:
        raise MissingExtraError("a labelled dataset needs xarray; pip install 'auglift[xarray]'") from error
    return xarray
