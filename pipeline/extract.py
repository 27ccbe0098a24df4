"""Frames in, arrays out: detector, pose, depth and UADD over one batch, all of it on one device."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..stores.format.schema import FIELDS, Field, fields_for
from ..stores.format.skeleton import H36M_FROM_COCO
from .networks.depth import DepthEstimator
from .networks.detect import Detector, choose_person
from .networks.ground_truth import BBOX, DEPTH, FromTruth
from .networks.pose import PoseEstimator
from .networks.stored import FromStore
from .uadd.descriptor import Preset, compute

STAGES = ("decode", "detect", "pose", "depth", "uadd", "write", "wait")


@dataclass
class StageTimes:
    """Seconds spent in each stage."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to a stage; on a GPU its kernels are waited for, or the next stage would pay."""
        begin = time.perf_counter()
        yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.seconds[name] += time.perf_counter() - begin


# Of the one person of every frame that has one: frame index, H36M-17 keypoints, scores, box.
_People = tuple[Tensor, Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Extractor:
    """The three networks and the descriptor.

    max_people   the boxes of highest score that are tried, a frame
    `FromTruth` in a network's place: what it would estimate is read from the ground truth; `FromStore`: from a store.
    Every frame is treated by itself, so that the work can be cut anywhere.
    """

    detector: Detector | FromTruth | FromStore
    pose: PoseEstimator | FromTruth | FromStore
    depth: DepthEstimator | FromTruth
    presets: tuple[Preset, ...]
    device: torch.device
    max_people: int = 8

    @property
    def fields(self) -> tuple[Field, ...]:
        """What `extract` returns, `source_frame` excepted."""
        return tuple(f for f in fields_for(preset.name for preset in self.presets) if f.name != "source_frame")

    @torch.inference_mode()
    def extract(
        self,
        frames: np.ndarray,
        readable: np.ndarray,
        truth: Mapping[str, np.ndarray] | None = None,
        times: StageTimes | None = None,
    ) -> dict[str, np.ndarray]:
        """The features of a batch of frames of one size.

        frames      (B, H, W, 3)  uint8 RGB
        readable    (B,)          bool; a frame that could not be decoded gets valid 0 and NaN
        truth       what is known, a row a frame: `bbox` (B, 4) px, x1 y1 x2 y2, NaN where unknown: the person who
                    covers this box best is taken; and what stands in a network's place: `target/keypoints`
                    (B, 17, 2) px, `depth` (B, h, w) metres
        Returns the arrays of `fields`, a row a frame, in the store's dtypes.
        """
        times = times or StageTimes(self.device)
        out = {spec.name: spec.empty(len(frames)) for spec in self.fields}
        rows = np.flatnonzero(readable)
        if len(rows) == 0:
            return out
        chosen = frames if len(rows) == len(frames) else frames[rows]
        told = {name: values[rows] for name, values in (truth or {}).items()}
        with times.stage("detect"):
            images = torch.from_numpy(np.ascontiguousarray(chosen)).to(self.device)
        people = self._people(images, told, times)
        if people is None:
            return out
        found, keypoints, score, bbox = people
        rows = rows[found.cpu().numpy()]
        with times.stage("depth"):
            if isinstance(self.depth, FromTruth):
                depth = torch.from_numpy(told[DEPTH]).to(self.device, torch.float32)[found]
            else:
                depth = self.depth.estimate(images[found] if len(found) < len(images) else images)
        with times.stage("uadd"):
            size = (frames.shape[2], frames.shape[1])
            described = compute(depth, keypoints, score.clamp(0, 1), size, self.presets)
            values = {"keypoints": keypoints, "score": score, "bbox": bbox}
            for name, uadd in described.items():
                values |= {f"uadd/{name}": uadd.stats, f"radius/{name}": uadd.radius}
            for name, value in values.items():
                out[name][rows] = value.cpu().numpy().astype(FIELDS[name].dtype, copy=False)
        out["valid"][rows] = 1
        return out

    def _people(self, images: Tensor, truth: Mapping[str, np.ndarray], times: StageTimes) -> _People | None:
        """The true person; or of everybody detected the one who covers the true box best, without one scores best."""
        known = next((one for one in (self.pose, self.detector) if isinstance(one, FromTruth)), None)
        known = self.pose if isinstance(self.pose, FromStore) else known
        if known is not None:
            keypoints, score, bbox = (torch.from_numpy(part).to(self.device) for part in known.people(truth))
            found = torch.nonzero(torch.isfinite(score).any(dim=1))[:, 0]
            return (found, keypoints[found], score[found], bbox[found]) if len(found) else None
        with times.stage("detect"):
            if isinstance(self.detector, FromStore):
                boxes = self.detector.boxes(truth, self.device)
            else:
                boxes = [found[: self.max_people] for found in self.detector.detect(images)]
        with times.stage("pose"):
            return self._choose(self.pose, images, boxes, truth.get(BBOX))

    def _choose(
        self, pose: PoseEstimator, images: Tensor, boxes: Sequence[Tensor], true_boxes: np.ndarray | None
    ) -> _People | None:
        counts = [len(found) for found in boxes]
        if sum(counts) == 0:
            return None
        every = torch.cat(list(boxes)).to(torch.float32)
        frame = torch.repeat_interleave(
            torch.arange(len(boxes), device=self.device), torch.tensor(counts, device=self.device)
        )
        keypoints, score = pose.estimate(images, every[:, :4], frame)
        starts = np.concatenate([[0], np.cumsum(counts)])
        picked, found = [], []
        for index, count in enumerate(counts):
            if count == 0:
                continue
            people = slice(int(starts[index]), int(starts[index + 1]))
            truth = None if true_boxes is None else torch.from_numpy(true_boxes[index]).to(self.device)
            picked.append(people.start + choose_person(every[people, :4], score[people], truth))
            found.append(index)
        take = torch.tensor(picked, device=self.device)
        h36m = _to_h36m(torch.cat([keypoints, score[..., None]], dim=-1)[take].float())
        return torch.tensor(found, device=self.device), h36m[..., :2], h36m[..., 2], every[take]


def _to_h36m(values: Tensor) -> Tensor:
    """`coco_to_h36m` on the device: (N, 17, D) to (N, 17, D)."""
    return torch.stack([values[:, list(sources)].mean(dim=1) for sources in H36M_FROM_COCO], dim=1)


def describe(extractor: Extractor) -> Mapping[str, object]:
    """The networks and the descriptor as plain data, for a plan's settings."""
    return {
        "detector": extractor.detector.describe(),
        "pose": extractor.pose.describe(),
        "depth": extractor.depth.describe(),
        "uadd": {preset.name: preset.describe() for preset in extractor.presets},
        "max_people": extractor.max_people,
    }
