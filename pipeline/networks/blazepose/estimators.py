"""BlazePose as a detector of person boxes and as a pose network; either goes with any other network beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ....stores.format.skeleton import COCO_17
from ..detect import tabulate
from ..models import resolve
from ..weights.fetch import sha256
from ..weights.load import locate
from . import landmarks, people, regions
from .litert import Graph, require_litert
from .regions import Region

# MediaPipe's.
SCORE_THRESHOLD = 0.5

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class _PersonNetwork:
    """The detector's network: the people in a region of a frame."""

    def __init__(self, graph: Graph):
        self._graph = graph
        self._anchors = people.anchors()

    def __call__(self, frame: np.ndarray, region: Region) -> people.People:
        """Positions are px of the frame. Outside the frame it is black."""
        import cv2

        crop = region.crop(frame, people.SIDE, cv2.BORDER_CONSTANT)
        values, logits = self._graph(crop.astype(np.float32) / np.float32(127.5) - 1)
        found = people.decode(values, logits[:, 0], self._anchors, SCORE_THRESHOLD)
        return people.People(found.score, region.to_frame(found.points.reshape(-1, 2)).reshape(-1, 2, 2))


class BlazePoseDetector:
    """Finds people by their faces, and where their hips are and how far they stretch from there.

    A box is the square about the circle around the hips that holds the whole person: larger than a box drawn about
    him, and beyond the frame where he is at its edge.
    """

    def __init__(self, graph: Graph, identity: Mapping[str, str], device: torch.device, threads: int):
        self.name = identity["name"]
        self._identity = dict(identity)
        self._device = device
        self._threads = threads
        self._find = _PersonNetwork(graph)

    def describe(self) -> dict[str, Any]:
        return {**self._identity, "input_size": [people.SIDE] * 2, "score_threshold": SCORE_THRESHOLD}

    def boxes(self, frames: Tensor, most: int) -> Tensor:
        """See `Detector`; the host waits for the frames."""
        return tabulate(self.detect(frames), most, self._device)

    def detect(self, frames: Tensor) -> list[Tensor]:
        """Return the boxes (n, 5) of each frame, as many as there are."""
        region = regions.whole(frames.shape[2], frames.shape[1])
        found = _side_by_side(lambda frame: self._find(frame, region), frames.cpu().numpy(), self._threads)
        boxes = [np.concatenate([each.boxes, each.score[:, None]], axis=1) for each in found]
        return [torch.from_numpy(each).to(self._device, torch.float32) for each in boxes]


class BlazePose:
    """Finds a person's joints in a square that leans as he does.

    In every box it looks for the person itself, with the detector's network: any detector's boxes will do. Where that
    finds nobody, the landmarks of an upright square about the box say how the person leans. Every frame is looked at
    by itself. Joints that are hidden have places too, and low scores; where the network says that nobody is there, all
    scores are 0.
    """

    def __init__(self, graph: Graph, finder: Graph, identity: Mapping[str, str], device: torch.device, threads: int):
        self.name = identity["name"]
        self._identity = dict(identity)
        self._device = device
        self._threads = threads
        self._graph = graph
        self._find = _PersonNetwork(finder)

    def describe(self) -> dict[str, Any]:
        return {
            **self._identity,
            "input_size": [landmarks.SIDE] * 2,
            "score_threshold": SCORE_THRESHOLD,
            "presence_threshold": landmarks.PRESENT,
            "margin": regions.MARGIN,
        }

    def estimate(self, frames: Tensor, boxes: Tensor, frame_index: Tensor) -> tuple[Tensor, Tensor]:
        """See `PoseEstimator`."""
        pictures = frames.cpu().numpy()
        wanted = zip(frame_index.tolist(), boxes[:, :4].cpu().double().numpy(), strict=True)
        found = _side_by_side(lambda each: self.person(pictures[each[0]], each[1]), wanted, self._threads)
        keypoints = np.array([at for at, _ in found], dtype=np.float32).reshape(-1, len(COCO_17), 2)
        score = np.array([visible for _, visible in found], dtype=np.float32).reshape(-1, len(COCO_17))
        return torch.from_numpy(keypoints).to(self._device), torch.from_numpy(score).to(self._device)

    def person(self, frame: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """COCO-17 joints (17, 2) px and their visibility (17,) of the person in a box (4,) of a frame (H, W, 3)."""
        region = self._region(frame, box)
        if region is None:
            upright = regions.about(box)
            region = regions.aligned(upright.to_frame(self._landmarks(frame, upright).at[landmarks.ALIGNMENT]))
        found = self._landmarks(frame, region)
        joints = list(landmarks.COCO_FROM_MEDIAPIPE)
        score = found.visibility[joints] if found.presence >= landmarks.PRESENT else np.zeros(len(joints))
        return region.to_frame(found.at[joints]), score

    def _region(self, frame: np.ndarray, box: np.ndarray) -> Region | None:
        """Of the person found in the box who fills it best; None if nobody is."""
        found = self._find(frame, regions.about(box))
        shared = people.overlap(found.boxes, box)
        return regions.aligned(found.points[shared.argmax()]) if (shared > 0).any() else None

    def _landmarks(self, frame: np.ndarray, region: Region) -> landmarks.Landmarks:
        import cv2

        crop = region.crop(frame, landmarks.SIDE, cv2.BORDER_REPLICATE)
        values, presence, _, heatmaps, _ = self._graph(crop.astype(np.float32) / 255)
        return landmarks.decode(values, presence, heatmaps)


def build_detector(name: str, weights: str | Path | None, device: torch.device | str = "cpu") -> BlazePoseDetector:
    """The named detector, on the CPU; its boxes are on the device. As many frames side by side as torch has threads.

    Raises MissingExtraError (LiteRT), MissingFileError (weights), InvalidValueError.
    """
    graph, identity = _load(name, "detector", weights)
    return BlazePoseDetector(graph, identity, torch.device(device), torch.get_num_threads())


def build_pose(name: str, weights: str | Path | None, device: torch.device | str = "cpu") -> BlazePose:
    """The named pose network, on the CPU, with the detector's that it looks for people with; as `build_detector`."""
    graph, identity = _load(name, "pose", weights)
    finder, its_identity = _load("blazepose", "detector", weights)
    identity["finder"] = its_identity["weights"]
    return BlazePose(graph, finder, identity, torch.device(device), torch.get_num_threads())


def _load(name: str, kind: Any, weights: str | Path | None) -> tuple[Graph, dict[str, str]]:
    require_litert()
    spec = resolve(name, kind)
    path = locate(spec, weights)
    return Graph(path), {"name": spec.name, "weights": f"sha256:{sha256(path)}"}


def _side_by_side(do: Callable[[_Item], _Result], items: Iterable[_Item], threads: int) -> list[_Result]:
    """The results in order; LiteRT and OpenCV let other threads run. One thread or many: the results are the same."""
    with ThreadPoolExecutor(max(1, threads)) as pool:
        return list(pool.map(do, items))
