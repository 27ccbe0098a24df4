"""Make H36M-17 of the archives' skeletons, each by a table of weights or of places."""

from __future__ import annotations

import numpy as np

# 32 joints of Human3.6M, of which 17 move by themselves.
H36M_32 = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)

# MPI-INF-3DHP: the 17 joints of its test part are these of the 28 of its train part; and H36M-17 from those 17.
MPI_28_TO_17 = (7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6)
MPI_17_TO_H36M = (14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4)
MPI_28 = tuple(MPI_28_TO_17[place] for place in MPI_17_TO_H36M)

# Fit3D: the first 17 of its 25.
FIT3D_25 = tuple(range(17))

# SMPL's 24 joints are centres of rotation inside the body. Nose and head have none: the head joint stands for the
# nose, and the crown is taken as far above it as the neck is below. An approximation of some centimetres.
_SMPL_24: tuple[dict[int, float], ...] = (
    {0: 1},
    {2: 1},
    {5: 1},
    {8: 1},
    {1: 1},
    {4: 1},
    {7: 1},
    {6: 1},
    {12: 1},
    {15: 1},
    {15: 2, 12: -1},
    {16: 1},
    {18: 1},
    {20: 1},
    {17: 1},
    {19: 1},
    {21: 1},
)


def smpl_to_h36m(joints: np.ndarray) -> np.ndarray:
    """(..., 24, 3) to (..., 17, 3), approximately."""
    joints = np.asarray(joints, np.float64)
    parts = [sum(weight * joints[..., joint, :] for joint, weight in row.items()) for row in _SMPL_24]
    return np.stack(parts, axis=-2)


def mirrored(pose: np.ndarray, joints: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Return a copy of (..., 17, D) in which these pairs of joints have changed places."""
    pose = np.array(pose)
    for one, other in joints:
        pose[..., [one, other], :] = pose[..., [other, one], :]
    return pose
