"""How fast are BlazePose's detector and pose network beside RTMDet-nano and RTMPose-s?

One rendered person a frame, on the CPU. RTMDet and RTMPose with random weights, and every network is given one box a
frame, so that what is compared is the work and not what is found. BlazePose's pose network looks for the person in the
box first, with the detector's network: that is counted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from auglift.pipeline.datasets.synth import SynthOptions, store_clips
from auglift.pipeline.frames.sources import read
from auglift.pipeline.networks.families import load_detector, load_pose
from auglift.pipeline.synth.rendered import render_clips

from .harness import Row, compare, main

BATCH, HEIGHT, WIDTH = 8, 1080, 1080
NETWORKS = {"blazepose": ("blazepose", "blazepose", None), "rtm": ("rtmdet-nano", "rtmpose-s", "random")}


def rows(quick: bool) -> list[Row]:
    frames, boxes = scene()
    index = torch.arange(BATCH)
    detect: dict[str, Callable[[], object]] = {}
    pose: dict[str, Callable[[], object]] = {}
    for name, (detector, estimator, weights) in NETWORKS.items():
        find, locate = load_detector(detector, weights, "cpu"), load_pose(estimator, weights, "cpu")
        detect[name] = lambda find=find: find.boxes(frames, 8)
        pose[name] = lambda locate=locate: locate.estimate(frames, boxes, index)
    seconds = 5 if quick else 30
    timed = {
        "detector": compare(detect["blazepose"], detect["rtm"], seconds),
        "pose": compare(pose["blazepose"], pose["rtm"], seconds),
        "both": compare(
            lambda: (detect["blazepose"](), pose["blazepose"]()), lambda: (detect["rtm"](), pose["rtm"]()), seconds
        ),
    }
    against = {"detector": "rtmdet-nano", "pose": "rtmpose-s", "both": "rtmdet-nano, rtmpose-s"}
    where = f"{WIDTH} x {HEIGHT}, batch {BATCH}, {torch.get_num_threads()} threads"
    return [
        Row(
            f"blazepose, {what} ({where})",
            BATCH / timing.ours,
            "frames/s",
            against=f"{against[what]}: {BATCH / timing.theirs:.3g} frames/s",
            ratio=timing.ratio,
        )
        for what, timing in timed.items()
    ]


def scene() -> tuple[Tensor, Tensor]:
    """Frames (8, H, W, 3) with a rendered person each, and the true boxes (8, 4)."""
    with tempfile.TemporaryDirectory() as folder:
        options = SynthOptions("studio", 1, "all", BATCH, 256, 0)
        drawn = options.plan()
        home = options.folder(Path(folder), False)
        render_clips(drawn, home, False, None, 1, lambda count: None)
        (clip,) = store_clips(drawn, home, False, None, None)
        small = next(iter(read(clip.info.path, np.arange(BATCH), BATCH, 1))).frames
        assert clip.truth is not None
        joints = clip.truth.read(np.arange(BATCH))["target/keypoints"]
    scale = np.array([WIDTH, HEIGHT]) / 256
    boxes = np.concatenate([joints.min(axis=1) * scale, joints.max(axis=1) * scale], axis=1)
    frames = np.stack([cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) for frame in small])
    return torch.from_numpy(frames), torch.from_numpy(boxes).float()


if __name__ == "__main__":
    main(rows, __doc__)
