"""Files of 2D joints as other projects write them, and people to put into them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from auglift.stores.format.skeleton import COCO_17, H36M_17

# A standing person, H36M-17, in units of its height, x to the right and y down; left is on the right of the picture.
_STANDING = np.array(
    [
        *[[0, 0], [-0.07, 0.0], [-0.08, 0.25], [-0.08, 0.48], [0.07, 0.0], [0.08, 0.25], [0.08, 0.48]],
        *[[0, -0.14], [0, -0.28], [0.01, -0.36], [0, -0.46], [0.1, -0.27], [0.14, -0.12], [0.15, 0.02]],
        *[[-0.1, -0.27], [-0.14, -0.12], [-0.15, 0.02]],
    ]
)
# Where the joints that others have and H36M-17 has not lie on it.
_MORE = {
    "left_eye": [0.02, -0.38],
    "right_eye": [-0.02, -0.38],
    "left_ear": [0.04, -0.37],
    "right_ear": [-0.04, -0.37],
    "neck": [0, -0.28],
    "mid_hip": [0, 0],
    "hip": [0, 0],
    **{f"{side}_{part}": [0.08 * sign, 0.51] for side, sign in (("left", 1), ("right", -1)) for part in ("big_toe",)},
    **{f"{side}_{part}": [0.1 * sign, 0.5] for side, sign in (("left", 1), ("right", -1)) for part in ("small_toe",)},
    **{f"{side}_{part}": [0.07 * sign, 0.5] for side, sign in (("left", 1), ("right", -1)) for part in ("heel",)},
}
PLACES: Mapping[str, np.ndarray] = {
    **dict(zip(H36M_17.joints, _STANDING, strict=True)),
    **{name: np.array(place) for name, place in _MORE.items()},
}


def person(joints: Sequence[str], centre: tuple[float, float], height: float, seed: int = 0) -> np.ndarray:
    """(J, 3): x, y px and confidence of a person who stands there, a little different by seed."""
    rng = np.random.default_rng(seed)
    places = np.array([PLACES[name] for name in joints])
    xy = np.array(centre) + height * (places + rng.normal(0, 0.01, places.shape))
    return np.concatenate([xy, rng.uniform(0.2, 1, (len(places), 1))], axis=1)


def walk(frames: int, joints: Sequence[str] = COCO_17.joints, width: int = 160, height: int = 120) -> np.ndarray:
    """(T, J, 3): one person who crosses the picture."""
    at = np.linspace(0.3, 0.7, frames)
    return np.stack(
        [person(joints, (width * x, 0.5 * height), 0.8 * height, seed) for seed, x in enumerate(at.tolist())]
    )


def write_openpose(folder: Path, frames: Sequence[Sequence[np.ndarray]], name: str = "walk", first: int = 0) -> Path:
    """A file a frame, with its people."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, people in enumerate(frames, start=first):
        found = [{"person_id": [-1], "pose_keypoints_2d": each.ravel().tolist()} for each in people]
        path = folder / f"{name}_{number:012d}_keypoints.json"
        path.write_text(json.dumps({"version": 1.3, "people": found}))
    return folder


def mmpose_instances(people: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    return [
        {
            "keypoints": each[:, :2].tolist(),
            "keypoint_scores": each[:, 2].tolist(),
            "bbox": [[*each[:, :2].min(axis=0).tolist(), *each[:, :2].max(axis=0).tolist()]],
            "bbox_score": float(each[:, 2].max()),
        }
        for each in people
    ]


def write_mmpose(
    path: Path, frames: Sequence[Sequence[np.ndarray]], first: int = 0, joints: Sequence[str] = ()
) -> Path:
    """As its inferencer, a list; with the names of the joints as its demos, from frame 1 on."""
    found: Any = [{"frame_id": n, "instances": mmpose_instances(f)} for n, f in enumerate(frames, start=first)]
    if joints:
        names = {str(number): name for number, name in enumerate(joints)}
        found = {"meta_info": {"dataset_name": "x", "keypoint_id2name": names}, "instance_info": found}
    path.write_text(json.dumps(found))
    return path


def coco_results(frames: Sequence[Sequence[np.ndarray]], image_id: Any = lambda number: number) -> list[dict[str, Any]]:
    return [
        {
            "image_id": image_id(n),
            "category_id": 1,
            "keypoints": each.ravel().tolist(),
            "score": float(each[:, 2].sum()),
        }
        for n, people in enumerate(frames)
        for each in people
    ]


def write_movement(
    path: Path,
    position: np.ndarray,
    confidence: np.ndarray | None,
    joints: Sequence[str],
    people: Sequence[str],
    fps: float | None = None,
) -> Path:
    """As netCDF4 lays it out in HDF5. position (time, space, keypoint, individual), confidence without space."""
    count = len(position)
    times = np.arange(count) / fps if fps else np.arange(count)
    axes: dict[str, Any] = {
        "time": times,
        "space": np.array(["x", "y"], object),
        "keypoint": np.array(joints, object),
        "individual": np.array(people, object),
    }
    with h5py.File(path, "w") as file:
        for name, values in axes.items():
            kind = h5py.string_dtype() if values.dtype == object else None
            file.create_dataset(name, data=values, dtype=kind).make_scale(name)
        none = np.full((count, len(joints), len(people)), np.nan)
        for name, values, dimensions in (
            ("position", position, list(axes)),
            ("confidence", none if confidence is None else confidence, ["time", "keypoint", "individual"]),
        ):
            made = file.create_dataset(name, data=values)
            for place, axis in enumerate(dimensions):
                made.dims[place].attach_scale(file[axis])
        file.attrs["ds_type"] = "poses"
        file.attrs["time_unit"] = "seconds" if fps else "frames"
        if fps:
            file.attrs["fps"] = np.array([fps])
    return path


def write_trc(path: Path, joints: np.ndarray, names: Sequence[str], fps: float, first: int = 0) -> Path:
    """As Sports2D writes it: (T, J, 2) px with a z of 0, in a file that says metres."""
    count = len(names)
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{path}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{fps}\t{fps}\t{len(joints)}\t{count}\tm\t{fps}\t0\t{len(joints)}",
        "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t\t",
        "\t\t" + "\t".join(f"X{n}\tY{n}\tZ{n}" for n in range(1, count + 1)),
    ]
    for number, row in enumerate(joints):
        places = [[*place.tolist(), 0.0][:3] for place in row]
        cells = "\t".join(f"{value:.6f}" for place in places for value in place)
        lines.append(f"{number}\t{(number + first) / fps:.6f}\t{cells}")
    path.write_text("\n".join(lines) + "\n")
    return path


def write_videopose3d(path: Path, positions: Mapping[str, Any], symmetry: Any, **metadata: Any) -> Path:
    """As its own converters write it, with NumPy."""
    about = {"layout_name": "x", "num_joints": 17, "keypoints_symmetry": symmetry, **metadata}
    np.savez_compressed(path, positions_2d=np.array(positions, object), metadata=np.array(about, object))
    return path


def symmetry(pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    left, right = zip(*pairs, strict=True)
    return [list(left), list(right)]
