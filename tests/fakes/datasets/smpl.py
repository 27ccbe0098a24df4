"""A body model of a few vertices, in the files of SMPL, and a mesh of it posed vertex by vertex."""

from __future__ import annotations

import pickle
import sys
import types
from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.spatial.transform import Rotation

PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]
VERTICES = 60


def body(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    weights = rng.random((VERTICES, 24)) ** 8
    regressor = rng.random((24, VERTICES)) ** 4
    return {
        "v_template": rng.normal(0, 0.5, (VERTICES, 3)),
        "shapedirs": rng.normal(0, 0.02, (VERTICES, 3, 10)),
        "posedirs": rng.normal(0, 0.01, (VERTICES, 3, 207)),
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.array([[2**32 - 1, *PARENTS[1:]], range(24)], dtype=np.uint32),
    }


def mesh(
    model: dict[str, np.ndarray], pose: np.ndarray, betas: np.ndarray, trans: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Vertices (V, 3) and centres (24, 3) of one frame, by transforms of 4 x 4 and loops."""
    shaped = model["v_template"] + model["shapedirs"] @ betas
    rest = model["J_regressor"] @ shaped
    turns = [Rotation.from_rotvec(vector).as_matrix() for vector in pose.reshape(24, 3)]
    posed = shaped + model["posedirs"] @ np.concatenate([(turn - np.eye(3)).ravel() for turn in turns[1:]])
    chain: list[np.ndarray] = []
    for joint, parent in enumerate(PARENTS):
        own = np.eye(4)
        own[:3, :3], own[:3, 3] = turns[joint], rest[joint] - (rest[parent] if parent >= 0 else 0)
        chain.append(own if parent < 0 else chain[parent] @ own)
    back = [np.eye(4) for _ in chain]
    for joint, matrix in enumerate(back):
        matrix[:3, 3] = -rest[joint]
    out = np.empty_like(posed)
    for number, vertex in enumerate(posed):
        blend = np.sum([model["weights"][number, joint] * chain[joint] @ back[joint] for joint in range(24)], axis=0)
        out[number] = (blend @ [*vertex, 1])[:3]
    return out + trans, np.array([matrix[:3, 3] for matrix in chain]) + trans


def write_folder(folder: Path, seeds: tuple[int, int] = (0, 1)) -> np.ndarray:
    """Models for men and women, and the regressor (17, V) that is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(9)
    regressor = rng.random((17, VERTICES)) ** 4
    regressor /= regressor.sum(1, keepdims=True)
    np.save(folder / "J_regressor_h36m.npy", regressor)
    np.savez(folder / "SMPL_MALE.npz", **body(seeds[0]))  # type: ignore[arg-type]  # no array is called allow_pickle
    write_pickle(folder / "basicModel_f_lbs_10_207_0_v1.0.0.pkl", body(seeds[1]))
    return regressor


def write_pickle(path: Path, model: dict[str, np.ndarray], protocol: int = 2) -> None:
    """As SMPL's site has it: chumpy's arrays and a sparse matrix, by Python 2."""
    chumpy = types.ModuleType("chumpy.ch")
    kind = type("Ch", (), {"__module__": "chumpy.ch"})
    chumpy.Ch = kind  # type: ignore[attr-defined]
    package = types.ModuleType("chumpy")
    package.ch = chumpy  # type: ignore[attr-defined]
    sys.modules.update({"chumpy": package, "chumpy.ch": chumpy})
    try:
        content: dict[str, object] = {**model, "J_regressor": sparse.csc_matrix(model["J_regressor"])}
        for name in ("shapedirs", "v_template"):
            content[name] = kind()
            content[name].__dict__.update({"x": model[name], "_itr": 3})
        path.write_bytes(pickle.dumps(content, protocol=protocol))
    finally:
        for name in ("chumpy", "chumpy.ch"):
            del sys.modules[name]
