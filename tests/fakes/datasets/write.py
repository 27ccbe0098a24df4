"""Small copies of the archives' layouts, in the real file formats."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import cdflib.cdfwrite
import h5py
import numpy as np
import scipy.io

from ..video import write_images, write_video
from .scene import grey, view, walk

H36M_CAMERAS = {"54138969": 1002, "55011271": 1000, "58860488": 1000, "60457274": 1002}
MPI_CAMERAS = (0, 1, 2, 4, 5, 6, 7, 8)
FIT3D_CAMERAS = ("50591643", "58860488", "60457274", "65906101")
# Where H36M-17's joints are among 32 (Human3.6M) and 28 and 17 (MPI-INF-3DHP), by the names the archives give them.
IN_32 = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
# pelvis, r hip knee ankle, l hip knee ankle, spine, neck, head, head_top,
# l shoulder elbow wrist, r shoulder elbow wrist
IN_28 = [4, 23, 24, 25, 18, 19, 20, 3, 5, 6, 7, 9, 10, 11, 14, 15, 16]
# head_top, neck, r shoulder elbow wrist, l shoulder elbow wrist, r hip knee ankle,
# l hip knee ankle, pelvis, spine, head
IN_17 = [14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4]


def spread(values: np.ndarray, places: list[int], joints: int) -> np.ndarray:
    """(T, 17, D) into (T, joints, D); the other joints hold what nothing should read."""
    out = np.full((len(values), joints, values.shape[2]), 7777.0)
    out[:, places] = values
    return out


# How large MPI-INF-3DHP's own person would be, if the one filmed were 1: its `univ_annot3` is scaled about the pelvis.
UNIVERSAL = 0.95


def universal(seen: np.ndarray) -> np.ndarray:
    """(T, 17, 3) of H36M-17, scaled about the pelvis."""
    return seen[:, :1] + UNIVERSAL * (seen - seen[:, :1])


def write_h36m(root: Path, subjects=("S1", "S9"), actions=("Walking",), frames: int = 6, video_frames=None) -> None:
    for subject in subjects:
        for action in actions:
            for number, (camera, height) in enumerate(H36M_CAMERAS.items()):
                size = (1000, height)
                eye = view(number, size)
                seen = eye.see(walk(frames))
                stem = f"{action}.{camera}"
                write_cdf(
                    root / subject / "MyPoseFeatures/D3_Positions_mono" / f"{stem}.cdf", spread(1000 * seen, IN_32, 32)
                )
                flat = eye.project(seen)
                write_cdf(root / subject / "MyPoseFeatures/D2_Positions" / f"{stem}.cdf", spread(flat, IN_32, 32))
                video = root / subject / "Videos" / f"{stem}.mp4"
                video.parent.mkdir(parents=True, exist_ok=True)
                write_video(video, grey(video_frames or frames, size), fps=50, options={"preset": "ultrafast"})


def write_cdf(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    flat = values.reshape(1, len(values), -1)
    cdf = cdflib.cdfwrite.CDF(path, delete=True)
    spec = {"Variable": "Pose", "Data_Type": 45, "Num_Elements": 1, "Rec_Vary": True, "Dim_Sizes": list(flat.shape[1:])}
    cdf.write_var(spec, var_data=flat)
    cdf.close()


def write_3dhp_train(root: Path, frames: int = 4) -> None:
    size = (2048, 2048)
    root.mkdir(exist_ok=True)
    video = write_video(root / "grey.avi", grey(frames, size), fps=25, codec="mpeg4")
    for sequence in ("Seq1", "Seq2"):
        folder = root / "S1" / sequence
        (folder / "imageSequence").mkdir(parents=True)
        flat, solid, scaled = (np.empty((14, 1), object) for _ in range(3))
        lines = ["Skeletool Camera Calibration File V1.0"]
        for number in range(14):
            eye = view(number, size)
            seen = eye.see(walk(frames))
            solid[number, 0] = spread(1000 * seen, IN_28, 28).reshape(frames, 84)
            scaled[number, 0] = spread(1000 * universal(seen), IN_28, 28).reshape(frames, 84)
            flat[number, 0] = spread(eye.project(seen), IN_28, 28).reshape(frames, 56)
            (fx, fy), (cx, cy) = eye.focal, eye.middle
            lines += [
                f"name          {number}",
                "  sensor      10 10",
                f"  size        {size[0]} {size[1]}",
                "  animated    0",
            ]
            lines += [f"  intrinsic   {fx} 0 {cx} 0  0 {fy} {cy} 0 0 0 1 0 0 0 0 1 "]
            lines += ["  extrinsic   " + " ".join(["1 0 0 0", "0 1 0 0", "0 0 1 0", "0 0 0 1"]), "  radial      0"]
            if number in MPI_CAMERAS:
                shutil.copy(video, folder / "imageSequence" / f"video_{number}.avi")
        (folder / "camera.calibration").write_text("\n".join(lines) + "\n")
        arrays = {"annot2": flat, "annot3": solid, "univ_annot3": scaled, "frames": np.arange(frames)}
        scipy.io.savemat(folder / "annot.mat", arrays)


def write_3dhp_test(root: Path, subject: str = "TS5", frames: int = 5, invalid: int = 2) -> None:
    size = (1920, 1080) if subject in ("TS5", "TS6") else (2048, 2048)
    folder = root / subject
    write_images(folder / "imageSequence", grey(frames, size), "jpg", "img_{:06d}")
    eye = view(0, size)
    seen = eye.see(walk(frames))
    with h5py.File(folder / "annot_data.mat", "w") as file:
        valid = np.ones((frames, 1))
        valid[invalid] = 0
        file["valid_frame"] = valid
        file["annot3"] = spread(1000 * seen, IN_17, 17)[:, None]
        file["univ_annot3"] = spread(1000 * universal(seen), IN_17, 17)[:, None]
        file["annot2"] = spread(eye.project(seen), IN_17, 17)[:, None]


def write_3dpw(root: Path, split: str = "test", name: str = "street_00", actors: int = 2, frames: int = 5) -> Path:
    size = (192, 108)
    write_images(root / "imageFiles" / name, grey(frames, size), "jpg", "image_{:05d}")
    eye = view(0, size)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = eye.rotation, -eye.rotation @ eye.centre
    matrix = np.array([[eye.focal[0], 0, eye.middle[0]], [0, eye.focal[1], eye.middle[1]], [0, 0, 1]])
    people = []
    for actor in range(actors):
        h36m = walk(frames) + np.array([0.5 * actor, 0, 0])
        smpl = np.full((frames, 24, 3), 7777.0)
        # pelvis, hips, knees, ankles, spine2, neck, head, shoulders, elbows, wrists: H36M's number and SMPL's
        places = {
            0: 0,
            1: 2,
            2: 5,
            3: 8,
            4: 1,
            5: 4,
            6: 7,
            7: 6,
            8: 12,
            9: 15,
            11: 16,
            12: 18,
            13: 20,
            14: 17,
            15: 19,
            16: 21,
        }
        for ours, theirs in places.items():
            smpl[:, theirs] = h36m[:, ours]
        people.append(smpl.reshape(frames, 72))
    valid = np.ones(frames, int)
    valid[3] = 0
    content = {
        "sequence": name,
        "jointPositions": people,
        "poses2d": [np.zeros((frames, 3, 18))] * actors,
        "campose_valid": [valid] * actors,
        "genders": ["m"] * actors,
        "cam_poses": np.repeat(pose[None], frames, axis=0),
        "cam_intrinsics": matrix,
        "img_frame_ids": np.arange(frames),
    }
    path = root / "sequenceFiles" / split / f"{name}.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))
    return path


def write_fit3d(root: Path, subjects=("s03", "s10"), frames: int = 5, left_first: bool = False) -> None:
    for subject in subjects:
        base = root / "fit3d" / "train" / subject
        world = walk(frames)
        if left_first:
            world = world[:, [0, 4, 5, 6, 1, 2, 3, *range(7, 17)]]
        joints = np.concatenate([world, np.full((frames, 8, 3), 7777.0)], axis=1)
        (base / "joints3d_25").mkdir(parents=True)
        (base / "joints3d_25" / "squat.json").write_text(json.dumps({"joints3d_25": joints.tolist()}))
        for number, camera in enumerate(FIT3D_CAMERAS):
            eye = view(number, (900, 900))
            inner = {"f": [list(eye.focal)], "c": [list(eye.middle)]}
            parameters = {
                "extrinsics": {"R": eye.rotation.tolist(), "T": [eye.centre.tolist()]},
                "intrinsics_w_distortion": {**inner, "p": [[0, 0]], "k": [[0, 0, 0]]},
                "intrinsics_wo_distortion": inner,
            }
            (base / "camera_parameters" / camera).mkdir(parents=True)
            (base / "camera_parameters" / camera / "squat.json").write_text(json.dumps(parameters))
            (base / "videos" / camera).mkdir(parents=True)
            video = base / "videos" / camera / "squat.mp4"
            write_video(video, grey(frames, (900, 900)), fps=50, options={"preset": "ultrafast"})
