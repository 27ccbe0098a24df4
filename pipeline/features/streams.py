"""The streams of learned features of a pass: which are wanted, what they are, and how they become float16."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from ...stores.errors import InvalidValueError
from ...stores.format.schema import FEATURES, Field, feature_field
from .sampling import DEFAULT, SAMPLINGS

# The largest number of float16.
HALF_MAX = 65504.0
COUNT_MAX = 32767
# In the features of a batch beside the fields, and in a shard's counts: numbers that float16 cannot hold.
CLIPPED = "clipped"


@runtime_checkable
class PoseWithFeatures(Protocol):
    """A pose network whose last feature map can be sampled at the joints."""

    def with_features(self, sampling: str) -> dict[str, Any]:
        """Keep the map from now on; return what the features are, `channels` among it, as plain data."""
        ...

    def estimate_with_features(
        self, frames: Tensor, boxes: Tensor, frame_index: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As `estimate`, and features (M, 17, C) float32 at the joints of H36M-17, of the pass that is not mirrored."""
        ...

    def features_at(self, frames: Tensor, boxes: Tensor, frame_index: Tensor, joints: Tensor) -> Tensor:
        """Features (M, J, C) float32 at joints (M, J, 2), px of the frame, that are known already."""
        ...


@runtime_checkable
class DepthWithFeatures(Protocol):
    """A depth network whose decoder map can be sampled at the joints."""

    def with_features(self, sampling: str) -> dict[str, Any]:
        """Keep the map from now on; return what the features are, `channels` among it, as plain data."""
        ...

    def estimate_with_map(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """As `estimate`, and the decoder's map (B, C, h, w), which covers the frame."""
        ...


@dataclass(frozen=True)
class Streams:
    """What an extractor gives beside descriptors; nothing by default.

    described   by stream, what its features are
    pose_beside the pose network that gives features alone, at joints that a store holds
    """

    sampling: str = DEFAULT
    described: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pose_beside: PoseWithFeatures | None = None

    @property
    def pose(self) -> bool:
        return "pose" in self.described

    @property
    def depth(self) -> bool:
        return "depth" in self.described

    @property
    def fields(self) -> tuple[Field, ...]:
        return fields_of({"features": self.described})


def streams_of(wanted: tuple[str, ...], sampling: str, pose: Any, depth: Any, pose_beside: Any = None) -> Streams:
    """Let the networks keep their maps for these streams.

    pose, depth   what gives joints and depth; pose_beside: a pose network for the features of stored joints
    InvalidValueError, in a line, for a network that has none.
    """
    described = {}
    for stream, network, kind in (("pose", pose_beside or pose, PoseWithFeatures), ("depth", depth, DepthWithFeatures)):
        if stream in wanted:
            described[stream] = _require(stream, network, kind).with_features(sampling)
    return Streams(sampling, described, pose_beside if "pose" in wanted else None)


def _require(stream: str, network: Any, kind: Any) -> Any:
    if not isinstance(network, kind):
        raise no_map(stream, network.name)
    return network


def no_map(stream: str, name: str) -> InvalidValueError:
    """What is said where features are wanted of a network that has none."""
    return InvalidValueError(
        f"--features {stream}: '{name}' has no feature map to sample; leave out '{stream}', or name a network that has "
        f"one with --{stream}"
    )


def choose_features(text: str | None) -> tuple[str, ...]:
    """The streams of a comma-separated list, in a fixed order; none of None. InvalidValueError for others."""
    names = [part.strip() for part in (text or "").split(",") if part.strip()]
    for name in names:
        if name not in FEATURES:
            raise InvalidValueError(f"--features '{name}': there are {', '.join(FEATURES)}, or both: pose,depth")
    return tuple(name for name in FEATURES if name in names)


def require_sampling(name: str) -> str:
    """The name itself; InvalidValueError where there is no such sampling."""
    if name not in SAMPLINGS:
        raise InvalidValueError(f"--feature-sampling '{name}': there are {', '.join(SAMPLINGS)}")
    return name


def fields_of(settings: Mapping[str, Any]) -> tuple[Field, ...]:
    """The fields of the streams in a plan's settings, as wide as their networks."""
    described = settings.get("features") or {}
    return tuple(
        feature_field(stream, int(described[stream]["channels"])) for stream in FEATURES if stream in described
    )


def pack(values: Tensor) -> Tensor:
    """Features (N, J, C) as float16, what it cannot hold being the largest that it has; NaN stays.

    Returns (N, J C + 1): the last number's bits are an int16, how many of the row were beyond. So one copy to the host
    takes both.
    """
    beyond = (values.abs() > HALF_MAX).flatten(1).sum(1, keepdim=True).clamp(max=COUNT_MAX).to(torch.int16)
    return torch.cat([values.clamp(-HALF_MAX, HALF_MAX).half().flatten(1), beyond.view(torch.float16)], dim=1)


def unpack(packed: np.ndarray, joints: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features (N, joints, C) float16, and (N,) int64: how many numbers were beyond its range."""
    beyond = np.ascontiguousarray(packed[:, -1]).view(np.int16).astype(np.int64)
    return packed[:, :-1].reshape(len(packed), joints, -1), beyond
