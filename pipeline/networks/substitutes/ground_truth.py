"""Ground truth in a network's place: joints, boxes and depth that a dataset knows, read instead of estimated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ....stores.errors import InvalidValueError

if TYPE_CHECKING:
    from ...plan import Clip, GroundTruth

GROUND_TRUTH = "ground-truth"

# What `--pose ground-truth` and `--depth ground-truth` take from a dataset, by the names of `GroundTruth.read`.
KEYPOINTS, BBOX, DEPTH = "target/keypoints", "bbox", "depth"
# What else travels to the networks with the frames: px along x, of a camera that is known.
FOCAL_LENGTH = "focal_length"
NOT_STORED = (BBOX, DEPTH, FOCAL_LENGTH)
_NEEDS = {"pose": (KEYPOINTS, "true 2D joints"), "depth": (DEPTH, "exact depth maps")}


@dataclass(frozen=True)
class FromTruth:
    """Stands where a network would. Nothing is loaded."""

    name: str = GROUND_TRUTH

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "weights": "none"}

    def people(self, known: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return joints (n, 17, 2) px, scores (n, 17) and boxes (n, 5) of what is known of frames."""
        return true_people(known)


def is_truth(name: str) -> bool:
    """Return whether a `--pose` or `--depth` is ground truth."""
    return name.strip().lower() == GROUND_TRUTH


def depth_of(truth: GroundTruth) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return a function to the dataset's depth, source frames (n,) to (n, H, W) float32 metres; None without."""
    return cast("Callable[[np.ndarray], np.ndarray] | None", getattr(truth, DEPTH, None))


def known(clip: Clip) -> set[str]:
    """Return the names of what is known of a clip's frames."""
    if clip.truth is None:
        return set()
    return {*clip.truth.fields, *({DEPTH} if depth_of(clip.truth) else ())}


def require_truth(clips: Iterable[Clip], options: Mapping[str, Any]) -> None:
    """Raise InvalidValueError where the options (`pose`, `depth`) name ground truth that clips do not have."""
    for kind, (needed, what) in _NEEDS.items():
        if not is_truth(options[kind]):
            continue
        for clip in clips:
            there = known(clip)
            if needed not in there:
                has = f"what is known of it: {', '.join(sorted(there))}" if there else "nothing is known of its frames"
                raise InvalidValueError(
                    f"--{kind} {GROUND_TRUTH}: {clip.dataset} '{clip.id}' comes without {what} ({has}); "
                    f"name a network with --{kind}"
                )


def read_truth(clip: Clip, source_frames: np.ndarray, settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Read what is known of frames and wanted by a plan's settings.

    That is `GroundTruth.read`, depth and focal length where they are used, and the joints of a file.
    """
    found: dict[str, np.ndarray] = {}
    if uses_focal_length(settings):
        found[FOCAL_LENGTH] = np.full(len(source_frames), clip.intrinsics[0], dtype=np.float32)
    if clip.truth is not None:
        found |= clip.truth.read(source_frames)
    if clip.keypoints is not None:
        found |= clip.keypoints.read(source_frames, found.get(BBOX))
    depth = None if clip.truth is None else depth_of(clip.truth)
    if depth is not None and settings.get("depth", {}).get("name") == GROUND_TRUTH:
        found[DEPTH] = depth(source_frames)
    return found


def uses_focal_length(settings: Mapping[str, Any]) -> bool:
    """Whether the depth of a plan with these settings depends on the camera's focal length."""
    return bool(settings.get("depth", {}).get(FOCAL_LENGTH))


def true_people(truth: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return joints (n, 17, 2), scores (n, 17) and boxes (n, 5) as ground truth has them.

    A joint that is known has confidence 1 (method.md, section 3), another NaN. A box that is not known is the one that
    the known joints span. Rows without any known joint are NaN throughout.
    """
    keypoints = truth[KEYPOINTS].astype(np.float32)
    there = np.asarray(np.isfinite(keypoints).all(axis=-1))
    score = np.where(there, np.float32(1), np.float32(np.nan))
    low = np.where(there[..., None], keypoints, np.inf).min(axis=1)
    high = np.where(there[..., None], keypoints, -np.inf).max(axis=1)
    box = np.concatenate([low, high], axis=1)
    known_box = truth.get(BBOX)
    if known_box is not None:
        box = np.where(np.isfinite(known_box).all(axis=1, keepdims=True), known_box, box)
    bbox = np.concatenate([box, np.ones((len(box), 1))], axis=1).astype(np.float32)
    bbox[~there.any(axis=1)] = np.nan
    return keypoints, score, bbox
