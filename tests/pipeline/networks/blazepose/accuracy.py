"""How far BlazePose's joints lie from the markers' in Pose2Sim's recording, by camera: tables for docs/networks.md.

python -m tests.pipeline.networks.blazepose.accuracy ../shared/data/pose2sim [--mediapipe PYTHON]

PYTHON is that of an environment with mediapipe 0.10.21, which needs another NumPy than ours: its own results are then
in the table too.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from auglift.pipeline.datasets.calibrated import calibrated
from auglift.pipeline.frames.sources import read
from auglift.pipeline.networks.blazepose import landmarks, regions
from auglift.pipeline.networks.blazepose.estimators import BlazePose
from auglift.pipeline.networks.detect import Detector
from auglift.pipeline.networks.families import load_detector, load_pose
from auglift.stores.format.skeleton import COCO_17, H36M_17

# Joints that mean the same to MediaPipe and to the markers: not pelvis, spine, thorax and head.
COMPARED = [j for j in H36M_17.joints if j.endswith(("hip", "knee", "ankle", "shoulder", "elbow", "wrist", "nose"))]
FIRSTS = range(-4, 9, 2)
SMALLER = (1, 1.5, 2, 2.5, 3, 4)
_LEGS = [n for n, joint in enumerate(COMPARED) if joint.endswith(("hip", "knee", "ankle"))]
_MIRRORED = [COMPARED.index(H36M_17.joints[H36M_17.flip[H36M_17.index(joint)]]) for joint in COMPARED]

# Run by another Python: frames.npy in, landmarks.npy out, NaN where nobody is found.
_MEDIAPIPE = """
import sys
import mediapipe, numpy
frames = numpy.load(sys.argv[1])
found = numpy.full((len(frames), 33, 2), numpy.nan)
with mediapipe.solutions.pose.Pose(static_image_mode=True, model_complexity=1) as network:
    for number, frame in enumerate(frames):
        person = network.process(numpy.ascontiguousarray(frame)).pose_landmarks
        if person:
            found[number] = [(p.x * frame.shape[1], p.y * frame.shape[0]) for p in person.landmark]
numpy.save(sys.argv[2], found)
"""


def recording(folder: Path) -> Iterator[tuple[str, np.ndarray, dict[str, np.ndarray], dict[int, np.ndarray]]]:
    """Of each camera its name, every second frame, their truth, and true joints by the frame of the first markers."""
    videos = sorted((folder / "single").glob("*.mp4"))
    for clip in calibrated(videos, folder / "Calib_qualisys.toml", folder / "balancing_0-100.trc").clips:
        wanted = np.arange(0, clip.info.frame_count, 2)
        frames = np.concatenate([batch.frames for batch in read(clip.info.path, wanted, 8, 1)])
        assert clip.truth is not None
        shifted = {first: clip.truth.read(wanted - first)["target/keypoints"] for first in FIRSTS}
        yield clip.camera, frames, clip.truth.read(wanted), shifted


def refined_again(pose: BlazePose, frame: np.ndarray, box: np.ndarray) -> np.ndarray:
    """COCO-17 joints in the region that the landmarks of the first pass say, as MediaPipe does from frame to frame."""
    region = pose._region(frame, box) or regions.about(box)
    again = regions.aligned(region.to_frame(pose._landmarks(frame, region).at[landmarks.ALIGNMENT]))
    return again.to_frame(pose._landmarks(frame, again).at[list(landmarks.COCO_FROM_MEDIAPIPE)])


def mediapipe(python: str, frames: np.ndarray) -> np.ndarray:
    """COCO-17 joints as mediapipe's own API says them of each frame by itself."""
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / name) for name in ("frames.npy", "landmarks.npy")]
        np.save(files[0], frames)
        subprocess.run([python, "-c", _MEDIAPIPE, *files], check=True, stderr=subprocess.DEVNULL)
        return np.load(files[1])[:, landmarks.COCO_FROM_MEDIAPIPE]


def compared(coco: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances (n, 13) px, and (n,) whether the legs lie nearer to the truth with left and right exchanged."""
    ours = coco[:, [COCO_17.joints.index(joint) for joint in COMPARED]]
    true = truth[:, [H36M_17.joints.index(joint) for joint in COMPARED]]
    distance, exchanged = (np.linalg.norm(each - true, axis=-1) for each in (ours, ours[:, _MIRRORED]))
    return distance, exchanged[:, _LEGS].sum(1) < distance[:, _LEGS].sum(1)


def shares_found(detector: Detector, frames: np.ndarray, truth: np.ndarray) -> list[tuple[float, float]]:
    """The person's height over the frame's longer side and the share that is found, of frames made smaller on grey."""
    shares = []
    for times in SMALLER:
        found, heights = [], []
        for frame, joints in zip(frames[::5], truth[::5], strict=True):
            small = cv2.resize(frame, None, fx=1 / times, fy=1 / times, interpolation=cv2.INTER_AREA)
            picture = np.full_like(frame, 110)
            top, left = (frame.shape[0] - small.shape[0]) // 2, (frame.shape[1] - small.shape[1]) // 2
            picture[top : top + small.shape[0], left : left + small.shape[1]] = small
            found.append(bool(detector.boxes(torch.from_numpy(picture)[None], 1).isfinite().all()))
            heights.append(np.ptp(joints[:, 1]) / times / max(frame.shape[:2]))
        shares.append((float(np.mean(heights)), float(np.mean(found))))
    return shares


def main(folder: Path, python: str | None) -> None:
    detector, pose = load_detector("blazepose", None, "cpu"), load_pose("blazepose", None, "cpu")
    assert isinstance(pose, BlazePose)
    found: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    small = []
    by_first: dict[str, list[float]] = {}
    for camera, frames, truth, shifted in recording(folder):
        images, index = torch.from_numpy(frames), torch.arange(len(frames))
        boxes = detector.boxes(images, 1)[:, 0, :4]
        joints = {
            "blazepose, blazepose": pose.estimate(images, boxes, index)[0].numpy(),
            "true boxes, blazepose": pose.estimate(images, torch.from_numpy(truth["bbox"]), index)[0].numpy(),
            "blazepose, blazepose, region refined again": np.array(
                [refined_again(pose, *each) for each in zip(frames, boxes.double().numpy(), strict=True)]
            ),
        }
        if python:
            joints["mediapipe's own API"] = mediapipe(python, frames)
        for name, each in joints.items():
            found.setdefault(name, {})[camera] = compared(each, truth["target/keypoints"])
        small.append(shares_found(detector, frames, truth["target/keypoints"]))
        ours = joints["blazepose, blazepose"]
        by_first[camera] = [float(np.nanmedian(compared(ours, shifted[first])[0])) for first in FIRSTS]
    cameras = list(next(iter(found.values())))
    print("| detector, pose |", *(f"{camera} |" for camera in cameras), "all | legs exchanged, share of frames |")
    print("|---|" + "---|" * (len(cameras) + 2))
    for name, by_camera in found.items():
        distances = [distance for distance, _ in by_camera.values()]
        figures = [f"{np.nanmedian(each):.1f} |" for each in (*distances, np.concatenate(distances))]
        exchanged = np.concatenate([legs for _, legs in by_camera.values()])
        print(f"| {name} |", *figures, f"{exchanged.mean():.1%} |")
    print("\n| `--first` |", *(f"{first} |" for first in FIRSTS))
    print("|---|" + "---|" * len(FIRSTS))
    for camera, medians in by_first.items():
        print(f"| {camera} |", *(f"{median:.1f} |" for median in medians))
    heights, shares = np.mean(small, axis=0).T
    print("\n| height of the person, of the frame's longer side |", *(f"{height:.2f} |" for height in heights))
    print("|---|" + "---|" * len(heights))
    print("| found |", *(f"{share:.0%} |" for share in shares))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[sys.argv.index("--mediapipe") + 1] if "--mediapipe" in sys.argv else None)
