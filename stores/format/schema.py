"""The fields of a store: name, shape, dtype, unit, dimension names and meaning. The one place that knows them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from ..errors import InvalidValueError
from .skeleton import H36M_17

FORMAT = "auglift-features"
# Version 2 added families (docs/store-format.md). The root of a store needs nothing of it, and so says 1 as ever.
FORMAT_VERSION = 2
ROOT_VERSION = 1

JOINTS = len(H36M_17)

# Statistics of each UADD preset, in the order of the last axis (method.md section 3). Metres, but for positions: px.
UADD_STATISTICS: dict[str, tuple[str, ...]] = {
    "paper": ("d", "d_min", "d_max"),
    "quantile": ("d", "d_min", "d_max"),
    "spatial": ("d", "d_min", "d_max", "x_min", "y_min", "x_max", "y_max"),
    "fixed": ("d",),
}

# Dimensions of one name must have one length in a group, or xarray refuses to open it.
_STAT_DIMENSION = {"paper": "stat", "quantile": "stat", "spatial": "stat_spatial", "fixed": "stat_fixed"}

NARROW_CHUNK_FRAMES = 512
WIDE_CHUNK_FRAMES = 64


@dataclass(frozen=True)
class Field:
    """One array of a store.

    name        path inside the group
    shape       of one frame: what follows the frame axis
    dimensions  names of those axes
    components  what the entries of the last axis are called, where they have names
    wide        learned features: small chunks, not compressed; how many channels they have is the network's affair
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    dimensions: tuple[str, ...]
    unit: str
    meaning: str
    components: tuple[str, ...] = ()
    wide: bool = False

    @property
    def fill_value(self) -> float | int:
        return math.nan if np.dtype(self.dtype).kind == "f" else 0

    @property
    def chunk_frames(self) -> int:
        return WIDE_CHUNK_FRAMES if self.wide else NARROW_CHUNK_FRAMES

    @property
    def frame_bytes(self) -> int:
        """Return the bytes of one frame, uncompressed."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize

    def empty(self, frames: int) -> np.ndarray:
        """Return an array (frames, *shape) of the value that means `nothing is known`: NaN, or 0 for integers."""
        return np.full((frames, *self.shape), self.fill_value, dtype=self.dtype)


def _uadd_field(preset: str) -> Field:
    statistics = UADD_STATISTICS[preset]
    unit = "m" if len(statistics) <= 3 else "m (positions: px)"
    meaning = f"depth statistics of the `{preset}` disk about each joint"
    return Field(
        f"uadd/{preset}",
        (JOINTS, len(statistics)),
        "float32",
        ("joint", _STAT_DIMENSION[preset]),
        unit,
        meaning,
        statistics,
    )


_XY, _XYZ = ("x", "y"), ("x", "y", "z")

FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        Field("keypoints", (JOINTS, 2), "float32", ("joint", "xy"), "px", "detected 2D joints, H36M-17", _XY),
        Field("score", (JOINTS,), "float32", ("joint",), "1", "the detector's own confidence, unclipped"),
        Field(
            "bbox",
            (5,),
            "float32",
            ("bbox_value",),
            "px (score: 1)",
            "box of the person chosen",
            ("x1", "y1", "x2", "y2", "score"),
        ),
        Field("valid", (), "uint8", (), "1", "0: nobody was found, or the frame could not be read"),
        Field("source_frame", (), "int32", (), "1", "index of the frame in the source video"),
        *(_uadd_field(preset) for preset in UADD_STATISTICS),
        *(
            Field(f"radius/{preset}", (JOINTS,), "float32", ("joint",), "px", f"radius of the `{preset}` disk")
            for preset in UADD_STATISTICS
        ),
        Field(
            "feature/pose",
            (JOINTS, 1024),
            "float16",
            ("joint", "pose_channel"),
            "1",
            "the pose network's last feature map at the joint",
            wide=True,
        ),
        Field(
            "feature/depth",
            (JOINTS, 256),
            "float16",
            ("joint", "depth_channel"),
            "1",
            "the depth network's decoder map at the joint",
            wide=True,
        ),
        Field(
            "target/pose3d",
            (JOINTS, 3),
            "float32",
            ("joint", "xyz"),
            "m",
            "true 3D joints, camera frame, H36M-17",
            _XYZ,
        ),
        Field("target/keypoints", (JOINTS, 2), "float32", ("joint", "xy"), "px", "true 2D joints", _XY),
    )
}

# A stream of learned features is called by the network it comes from.
FEATURES = {"pose": "feature/pose", "depth": "feature/depth"}

ALWAYS = ("keypoints", "score", "bbox", "valid", "source_frame")


def field(name: str) -> Field:
    """Return the field of that name; InvalidValueError, with the names there are, where there is none."""
    if name not in FIELDS:
        raise InvalidValueError(f"no field '{name}' in the store format; there are {', '.join(FIELDS)}")
    return FIELDS[name]


def feature_field(stream: str, channels: int) -> Field:
    """Return the field of a stream of `FEATURES` whose network has so many channels."""
    return replace(field(FEATURES[stream]), shape=(JOINTS, channels))


def fields_for(presets: Iterable[str], optional: Iterable[str] = ()) -> tuple[Field, ...]:
    """Return the fields that a depth pass with these UADD presets writes, in a fixed order, with the optional ones."""
    wanted = {*ALWAYS, *optional}
    for preset in presets:
        if preset not in UADD_STATISTICS:
            raise InvalidValueError(f"no UADD preset '{preset}'; there are {', '.join(UADD_STATISTICS)}")
        wanted |= {f"uadd/{preset}", f"radius/{preset}"}
    for name in wanted:
        field(name)
    return tuple(FIELDS[name] for name in FIELDS if name in wanted)
