"""Compute H36M-17 from SMPL's parameters (Loper 2015) and a joint regressor, of files that the user has a licence for.

The joints are sums over thousands of vertices of what the body's 24 rotations do to them; as all of it but the
rotations is linear, the sums over the vertices are made once a body, and no mesh is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ....stores.errors import InvalidValueError, MissingFileError
from .pickles import Numbers, Sparse, read_pickle

REGRESSOR = "J_regressor_h36m.npy"
_NAMES = {"m": ("SMPL_MALE", "basicModel_m", "basicmodel_m"), "f": ("SMPL_FEMALE", "basicModel_f", "basicmodel_f")}
_KINDS = (".npz", ".pkl")
_BETAS = 10


@dataclass(frozen=True)
class Smpl:
    """A body model of V vertices, and the joints wanted of it.

    template  (V, 3) m
    shape     (V, 3, S) m a unit of each shape parameter
    pose      (V, 3, 207) m an entry of the rotations, less the identity, of all joints but the root
    centres   (24, V) from vertices to centres of rotation
    weights   (V, 24) what a vertex follows
    parents   24 places; the root's is -1
    joints    (17, V) from vertices to H36M-17
    """

    template: np.ndarray
    shape: np.ndarray
    pose: np.ndarray
    centres: np.ndarray
    weights: np.ndarray
    parents: tuple[int, ...]
    joints: np.ndarray


def find_files(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Find the model and the regressor for each gender, "m" and "f". MissingFileError says what is missing."""
    regressor = folder / REGRESSOR
    if not regressor.is_file():
        raise MissingFileError(f"{regressor} is not there: (17, 6890), from SMPL's vertices to the joints of H36M")
    found = {}
    for gender, names in _NAMES.items():
        files = [
            path
            for kind in _KINDS
            for path in sorted(folder.glob(f"*{kind}"))
            if any(path.name.startswith(name) for name in names)
        ]
        if not files:
            raise MissingFileError(f"{folder} holds no {names[0]}{_KINDS[0]} and no {names[1]}*{_KINDS[1]}")
        found[gender] = (files[0], regressor)
    return found


@lru_cache(maxsize=2)
def load_smpl(model: Path, regressor: Path) -> Smpl:
    """Load an archive of arrays, or the pickle as SMPL's site has it, of which no code runs."""
    try:
        raw: dict[str, Any] = (
            dict(np.load(model, allow_pickle=False)) if model.suffix == ".npz" else read_pickle(model, stand_ins=True)
        )
        joints = np.asarray(np.load(regressor, allow_pickle=False), np.float64)
        parts = {name: _array(raw[name]) for name in ("v_template", "shapedirs", "posedirs", "J_regressor", "weights")}
        parents = np.asarray(_array(raw["kintree_table"]), np.int64)[0]
    except InvalidValueError:
        raise
    except (KeyError, OSError, ValueError, TypeError) as error:
        raise InvalidValueError(f"{model.name} or {regressor.name} is no body model or regressor: {error}") from error
    vertices = len(parts["v_template"])
    wanted = {
        "v_template": (vertices, 3),
        "posedirs": (vertices, 3, 207),
        "J_regressor": (24, vertices),
        "weights": (vertices, 24),
    }
    bad = [f"{name} {parts[name].shape}" for name, shape in wanted.items() if parts[name].shape != shape]
    if parts["shapedirs"].ndim != 3 or parts["shapedirs"].shape[:2] != (vertices, 3):
        bad.append(f"shapedirs {parts['shapedirs'].shape}")
    if joints.shape != (17, vertices):
        bad.append(f"{regressor.name} {joints.shape}")
    if bad or parents.shape != (24,):
        raise InvalidValueError(f"{model.name}: not of one body of {vertices} vertices and 24 joints: {', '.join(bad)}")
    return Smpl(
        parts["v_template"],
        parts["shapedirs"],
        parts["posedirs"],
        parts["J_regressor"],
        parts["weights"],
        (-1, *(int(parent) for parent in parents[1:])),
        joints,
    )


def _array(value: Any) -> np.ndarray:
    if isinstance(value, Numbers):
        value = value.state["x"]
    elif isinstance(value, Sparse):
        state = value.state
        dense = np.zeros(tuple(state["_shape"] if "_shape" in state else state["shape"]))
        columns = np.repeat(np.arange(dense.shape[1]), np.diff(state["indptr"]))
        np.add.at(dense, (state["indices"], columns), state["data"])
        value = dense
    return np.asarray(value, np.float64)


def pose_joints(body: Smpl, poses: np.ndarray, betas: np.ndarray, trans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return H36M-17 (T, 17, 3) and SMPL's own joints (T, 24, 3), m, in the frame of `trans`.

    poses (T, 72) axis-angle, betas (10 or more,), trans (T, 3) m.
    """
    count = min(len(betas), body.shape.shape[2], _BETAS)
    shaped = body.template + body.shape[..., :count] @ np.asarray(betas[:count], np.float64)
    rest = body.centres @ shaped
    local = _rotations(np.asarray(poses, np.float64).reshape(-1, 24, 3))
    turn, at = local.copy(), np.tile(rest, (len(local), 1, 1))
    for joint, parent in enumerate(body.parents):
        if parent >= 0:
            turn[:, joint] = turn[:, parent] @ local[:, joint]
            at[:, joint] = at[:, parent] + np.einsum("tab,b->ta", turn[:, parent], rest[joint] - rest[parent])
    offset = at - np.einsum(
        "tjab,jb->tja", turn, rest
    )  # what a vertex is moved by after it was turned about the origin
    entries = (local[:, 1:] - np.eye(3)).reshape(len(local), -1)
    # What of each H36M joint follows each of the 24.
    share = (body.joints[:, None] * body.weights.T).reshape(17 * 24, -1)
    fixed = (share @ shaped).reshape(17, 24, 3)
    moving = (share @ body.pose.reshape(len(shaped), -1)).reshape(17, 24, 3, -1)
    points = fixed + np.einsum("kjae,te->tkja", moving, entries, optimize=True)
    joints = np.einsum("tjab,tkjb->tka", turn, points, optimize=True)
    joints += np.einsum("kj,tja->tka", share.sum(1).reshape(17, 24), offset)
    move = np.asarray(trans, np.float64)[:, None]
    return joints + move, at + move


def _rotations(vectors: np.ndarray) -> np.ndarray:
    """(..., 3) axis times angle to (..., 3, 3)."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(*vectors.shape[:-1], 3, 3)
