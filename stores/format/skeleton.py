"""The two skeletons: COCO-17, which detectors speak, and Human3.6M-17, which lifters do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Skeleton:
    """Joint names with the bones between them, (parent, child), and the pairs a mirror swaps, (left, right)."""

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    left_right: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def flip(self) -> np.ndarray:
        """Return (J,) int: `pose[..., flip, :]` swaps left and right."""
        order = np.arange(len(self.joints))
        for left, right in self.left_right:
            order[[left, right]] = order[[right, left]]
        return order

    def index(self, joint: str) -> int:
        return self.joints.index(joint)


COCO_17 = Skeleton(
    name="coco-17",
    joints=(
        "nose",
        "left_eye",
        "right_eye",
        "left_ear",
        "right_ear",
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "left_hip",
        "right_hip",
        "left_knee",
        "right_knee",
        "left_ankle",
        "right_ankle",
    ),
    bones=(
        (0, 1),
        (0, 2),
        (1, 3),
        (2, 4),
        (5, 6),
        (5, 7),
        (7, 9),
        (6, 8),
        (8, 10),
        (5, 11),
        (6, 12),
        (11, 12),
        (11, 13),
        (13, 15),
        (12, 14),
        (14, 16),
    ),
    left_right=((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
)

H36M_17 = Skeleton(
    name="h36m-17",
    joints=(
        "pelvis",
        "right_hip",
        "right_knee",
        "right_ankle",
        "left_hip",
        "left_knee",
        "left_ankle",
        "spine",
        "thorax",
        "nose",
        "head",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
    ),
    bones=(
        (0, 1),
        (1, 2),
        (2, 3),
        (0, 4),
        (4, 5),
        (5, 6),
        (0, 7),
        (7, 8),
        (8, 9),
        (9, 10),
        (8, 11),
        (11, 12),
        (12, 13),
        (8, 14),
        (14, 15),
        (15, 16),
    ),
    left_right=((4, 1), (5, 2), (6, 3), (11, 14), (12, 15), (13, 16)),
)

# H36M-17 joint <- mean of these COCO-17 joints (method.md section 1). Spine is the mean of pelvis and thorax, and so
# the mean of hips and shoulders.
H36M_FROM_COCO: tuple[tuple[int, ...], ...] = (
    (11, 12),
    (12,),
    (14,),
    (16,),
    (11,),
    (13,),
    (15,),
    (5, 6, 11, 12),
    (5, 6),
    (0,),
    (1, 2),
    (5,),
    (7,),
    (9,),
    (6,),
    (8,),
    (10,),
)


def coco_to_h36m(values: np.ndarray) -> np.ndarray:
    """Make H36M-17 of COCO-17 by averages, of positions and confidences alike.

    values  (..., 17, D)  any unit
    Returns (..., 17, D) in the same unit and dtype; a NaN joint makes NaN whatever is averaged from it, nothing else.
    """
    values = np.asarray(values)
    if values.shape[-2] != len(COCO_17):
        raise ValueError(f"coco_to_h36m takes (..., 17, D), got {values.shape}")
    joints = [values[..., list(sources), :].mean(axis=-2) for sources in H36M_FROM_COCO]
    return np.stack(joints, axis=-2).astype(values.dtype, copy=False)
