"""Frames in, arrays out: detector, pose, depth and UADD over one batch, all of it on one device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..stores.format.depth_unit import RELATIVE, depth_unit
from ..stores.format.schema import FEATURES, FIELDS, Field, fields_for
from ..stores.format.skeleton import H36M_17, H36M_FROM_COCO
from .device.traffic import STAGES, Arriving, StageTimes, Uplink, download, upload
from .features.joints import to_h36m
from .features.sampling import sample
from .features.streams import CLIPPED, DepthWithFeatures, PoseWithFeatures, Streams, pack, unpack
from .networks.depth import DepthEstimator
from .networks.detect import Detector
from .networks.people import NOBODY, choose_people
from .networks.pose import PoseEstimator
from .networks.substitutes.ground_truth import BBOX, DEPTH, FOCAL_LENGTH, FromTruth
from .networks.substitutes.no_depth import NoDepth
from .networks.substitutes.simulated import MEASURED
from .networks.substitutes.stored import FromStore
from .uadd.descriptor import Preset, measure
from .uadd.relative import scale_free

__all__ = ["STAGES", "Batch", "Extractor", "StageTimes", "describe"]

_JOINTS = len(H36M_17)


@dataclass
class Batch:
    """A batch on its way through the networks, as far as it has come.

    out      the features, a row a frame, NaN where nothing is known
    rows     of the frames that could be read; later of those that show a person
    images   these frames on the device
    people   of the one person of each: joints x y score, box and its score, flat
    stats    of every preset in turn, flat, (rows, joints, all statistics)
    chosen   `people` on the device, where features are sampled at the joints
    streams  of learned features by name, as `pack` makes them of (rows, joints, channels)
    """

    out: dict[str, np.ndarray]
    rows: np.ndarray
    truth: dict[str, np.ndarray]
    frame_size: tuple[int, int]
    images: Tensor | None = None
    boxes: Tensor | None = None
    nobody: Arriving | None = None
    found: Tensor | None = None
    people: Arriving | np.ndarray | None = None
    stats: Arriving | None = None
    joints: np.ndarray | None = None
    radii: dict[str, np.ndarray] = field(default_factory=dict)
    chosen: Tensor | None = None
    streams: dict[str, Arriving] = field(default_factory=dict)

    def keep(self, stream: str, features: Tensor) -> None:
        """Send features (rows, joints, channels) to the host as float16."""
        self.streams[stream] = download(pack(features))


@dataclass(frozen=True)
class Extractor:
    """The three networks and the descriptor.

    max_people   the boxes of highest score that are tried, a frame
    streams      learned features that the networks were set up to give (`streams_of`)
    `FromTruth` in a network's place: what it would estimate is read from the ground truth; `FromStore`: from a store.
    `NoDepth` goes with no presets: there are joints alone then.
    Every frame is treated by itself, so that the work can be cut anywhere.

    A batch goes through four steps, `begin`, `find_people`, `describe_people` and `end`. On a GPU each gives it work
    and goes on; it waits for what the step before has found. So with two batches under way (`overlap.py`) the GPU never
    waits for the host. `extract` is all four.
    """

    detector: Detector | FromTruth | FromStore
    pose: PoseEstimator | FromTruth | FromStore
    depth: DepthEstimator | FromTruth | NoDepth
    presets: tuple[Preset, ...]
    device: torch.device
    max_people: int = 8
    streams: Streams = field(default_factory=Streams)
    uplink: Uplink = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "uplink", Uplink(self.device))

    @property
    def fields(self) -> tuple[Field, ...]:
        """Return the fields that `extract` returns, without `source_frame`."""
        narrow = fields_for(preset.name for preset in self.presets)
        return (*(f for f in narrow if f.name != "source_frame"), *self.streams.fields)

    def extract(
        self,
        frames: np.ndarray | Tensor,
        readable: np.ndarray,
        truth: Mapping[str, np.ndarray] | None = None,
        times: StageTimes | None = None,
    ) -> dict[str, np.ndarray]:
        """Compute the features of a batch of frames of one size.

        frames      (B, H, W, 3)  uint8 RGB, on the host
        readable    (B,)          bool; a frame that could not be decoded gets valid 0 and NaN
        truth       what is known, a row a frame: `bbox` (B, 4) px, x1 y1 x2 y2, NaN where unknown: the person who
                    covers this box best is taken; and what stands in a network's place: `target/keypoints`
                    (B, 17, 2) px, `depth` (B, h, w) metres; `focal_length` (B,) px for a network that uses it
        Returns the arrays of `fields`, a row a frame, in the store's dtypes; and where there are streams of features
        `clipped` (B,) int64: how many numbers of a frame float16 cannot hold.
        """
        times = times or StageTimes(self.device)
        batch = self.begin(frames, readable, truth, times)
        self.find_people(batch, times)
        self.describe_people(batch, times)
        return self.end(batch)

    @torch.inference_mode()
    def begin(
        self,
        frames: np.ndarray | Tensor,
        readable: np.ndarray,
        truth: Mapping[str, np.ndarray] | None,
        times: StageTimes,
    ) -> Batch:
        """Send the frames to the device and look for people in them. Arguments as for `extract`."""
        rows = np.flatnonzero(readable)
        batch = Batch(
            out={spec.name: spec.empty(len(frames)) for spec in self.fields},
            rows=rows,
            truth={name: values[rows] for name, values in (truth or {}).items()},
            frame_size=(frames.shape[2], frames.shape[1]),
        )
        blind = isinstance(self.depth, (FromTruth, NoDepth)) and not self.streams.pose_beside
        if len(rows) == 0 or (self.known and blind):
            return batch
        with times.stage("detect"):
            batch.images = self.uplink.send(frames if len(rows) == len(frames) else frames[rows])
            if self.known is None:
                batch.boxes = self._boxes(batch.images, batch.truth)
                batch.nobody = download(batch.boxes[..., 4].isnan())
        return batch

    @property
    def known(self) -> FromTruth | FromStore | None:
        """What gives the joints where no network finds them."""
        if isinstance(self.pose, (FromTruth, FromStore)):
            return self.pose
        return self.detector if isinstance(self.detector, FromTruth) else None

    def _boxes(self, images: Tensor, truth: Mapping[str, np.ndarray]) -> Tensor:
        """(B, people, 5) px and score, NaN where there are fewer people."""
        if isinstance(self.detector, FromStore):
            return upload(self.detector.boxes(truth), self.device)
        assert not isinstance(self.detector, FromTruth)
        return self.detector.boxes(images, self.max_people)

    @torch.inference_mode()
    def find_people(self, batch: Batch, times: StageTimes) -> None:
        """Find the joints of everybody, and of each frame choose the person that is stored.

        That is the true person; of everybody detected the one who covers the true box best; without one who scores
        best.
        """
        if len(batch.rows) == 0:
            return
        known = self.known
        if known is not None:
            keypoints, score, bbox = known.people(batch.truth)
            found = np.flatnonzero(np.isfinite(score).any(axis=1))
            joints = np.concatenate([keypoints, score[..., None]], axis=-1).reshape(len(keypoints), -1)
            batch.people = np.concatenate([joints, bbox], axis=1)[found]
            self._keep(batch, found, upload(found, self.device))
            if self.streams.described:
                batch.chosen = upload(batch.people.astype(np.float32), self.device)
                with times.stage("pose"):
                    self._features_beside(batch)
            return
        assert batch.nobody is not None
        assert not isinstance(self.pose, (FromTruth, FromStore))
        there = ~batch.nobody.wait()
        people, frames = int(there.sum()), np.flatnonzero(there.any(axis=1))
        if people and batch.images is not None and batch.boxes is not None:
            with times.stage("pose"):
                found, chosen, features = self._choose(
                    self.pose, batch.images, batch.boxes, batch.truth, people, len(frames)
                )
                batch.people = download(chosen)
                batch.chosen = chosen if self.streams.depth else None
                if features is not None:
                    batch.keep("pose", features)
        else:
            found = None
        batch.boxes = None
        self._keep(batch, frames, found)

    def _keep(self, batch: Batch, frames: np.ndarray, found: Tensor | None) -> None:
        """Keep only the frames that show a person."""
        if len(frames) < len(batch.rows):
            batch.rows, batch.found = batch.rows[frames], found
            batch.truth = {name: values[frames] for name, values in batch.truth.items()}

    def _choose(
        self,
        pose: PoseEstimator,
        images: Tensor,
        boxes: Tensor,
        truth: Mapping[str, np.ndarray],
        people: int,
        some: int,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the frames that show a person (some,), the flat table of their people, and these people's features.

        All of it on the device; no features where the pose network is not to give any.

        people, some   how many boxes and frames there are, which the host knows: so every shape is known
        """
        batch, each = boxes.shape[:2]
        there = boxes[..., 4].isfinite()
        # Stable, so these are the people in order, then the empty places.
        places = there.logical_not().flatten().argsort(stable=True)[:people]
        chosen = boxes.flatten(0, 1)[places]
        features = None
        if self.streams.pose:
            assert isinstance(pose, PoseWithFeatures)
            keypoints, score, features = pose.estimate_with_features(images, chosen[:, :4], places // each)
        else:
            keypoints, score = pose.estimate(images, chosen[:, :4], places // each)
        merit = boxes.new_full((batch * each,), NOBODY)
        merit = merit.index_copy(0, places, score.nan_to_num(nan=0.0).mean(dim=1)).view(batch, each)
        true_boxes = truth.get(BBOX)
        known = None if true_boxes is None else upload(true_boxes.astype(np.float32), self.device)
        slot = choose_people(boxes[..., :4], merit, known)
        found = there.any(dim=1).logical_not().argsort(stable=True)[:some]
        # Which of the people a place is: as many as come before it.
        nth = there.flatten().cumsum(0).view(batch, each).gather(1, slot[:, None])[found, 0] - 1
        rows = getattr(pose, "to_h36m", H36M_FROM_COCO)
        joints = to_h36m(torch.cat([keypoints, score[..., None]], dim=-1)[nth].float(), rows)
        return found, torch.cat([joints.flatten(1), chosen[nth]], dim=1), None if features is None else features[nth]

    def _features_beside(self, batch: Batch) -> None:
        """Features of a pose network at joints that are known already."""
        network, people = self.streams.pose_beside, batch.chosen
        if network is None or people is None or batch.images is None or len(people) == 0:
            return
        joints = people[:, : 3 * _JOINTS].view(-1, _JOINTS, 3)[..., :2]
        images = batch.images if batch.found is None else batch.images[batch.found]
        index = torch.arange(len(people), device=self.device)
        batch.keep("pose", network.features_at(images, people[:, 3 * _JOINTS :], index, joints))

    @torch.inference_mode()
    def describe_people(self, batch: Batch, times: StageTimes) -> None:
        """Estimate depth, and describe the joints by it."""
        if batch.people is None or len(batch.rows) == 0:
            return
        depth = self._depth(batch, times)
        batch.images = batch.found = batch.chosen = None
        people = batch.people.wait() if isinstance(batch.people, Arriving) else batch.people
        batch.joints = people
        if depth is None or not self.presets:
            return
        places = batch.truth.get(MEASURED, people[:, : 3 * _JOINTS]).reshape(-1, _JOINTS, 3)
        with times.stage("uadd"):
            keypoints, score = np.ascontiguousarray(places[..., :2]), np.ascontiguousarray(places[..., 2])
            described = measure(depth, keypoints, score, batch.frame_size, self.presets)
            stats = [self._scaled(preset, described[preset.name][0]) for preset in self.presets]
            batch.stats = download(torch.cat(stats, dim=-1))
        batch.radii = {name: radius for name, (_, radius) in described.items()}

    def _depth(self, batch: Batch, times: StageTimes) -> Tensor | None:
        """Depth maps (rows, h, w) in metres, on the device; None where no network estimates any."""
        if isinstance(self.depth, NoDepth):
            return None
        with times.stage("depth"):
            if isinstance(self.depth, FromTruth):
                return upload(batch.truth[DEPTH].astype(np.float32, copy=False), self.device)
            assert batch.images is not None
            images = batch.images if batch.found is None else batch.images[batch.found]
            if self.streams.depth:
                assert isinstance(self.depth, DepthWithFeatures)
                assert batch.chosen is not None
                depth, maps = self.depth.estimate_with_map(images)
                joints = batch.chosen[:, : 3 * _JOINTS].view(-1, _JOINTS, 3)[..., :2]
                batch.keep("depth", sample(maps, joints, batch.frame_size, self.streams.sampling))
                return depth
            focal_length = batch.truth.get(FOCAL_LENGTH)
            if focal_length is None or not getattr(self.depth, "uses_focal_length", False):
                return self.depth.estimate(images)
            known: Any = self.depth
            return known.estimate(images, focal_length=upload(focal_length, self.device))

    def _scaled(self, preset: Preset, stats: Tensor) -> Tensor:
        """Statistics of relative depth in the torso's scale; those in metres as they are."""
        return scale_free(stats, len(preset.stats) - 4 * preset.positions) if self._is_relative else stats

    @cached_property
    def _is_relative(self) -> bool:
        return depth_unit(describe(self)) == RELATIVE

    def end(self, batch: Batch) -> dict[str, np.ndarray]:
        """Wait for the features, and return them."""
        out, rows = batch.out, batch.rows
        if self.streams.described:
            out[CLIPPED] = np.zeros(len(out["valid"]), np.int64)
        if batch.joints is None:
            return out
        places = batch.joints[:, : 3 * _JOINTS].reshape(-1, _JOINTS, 3)
        values = {"keypoints": places[..., :2], "score": places[..., 2], "bbox": batch.joints[:, 3 * _JOINTS :]}
        stats, start = np.empty(0) if batch.stats is None else batch.stats.wait(), 0
        for preset in self.presets:
            stop = start + len(preset.stats)
            values |= {f"uadd/{preset.name}": stats[..., start:stop], f"radius/{preset.name}": batch.radii[preset.name]}
            start = stop
        for name, value in values.items():
            out[name][rows] = value.astype(FIELDS[name].dtype, copy=False)
        for stream, packed in batch.streams.items():
            out[FEATURES[stream]][rows], clipped = unpack(packed.wait(), _JOINTS)
            out[CLIPPED][rows] += clipped
        out["valid"][rows] = 1
        return out


def describe(extractor: Extractor) -> Mapping[str, object]:
    """Return the networks and the descriptor as plain data, for a plan's settings."""
    return {
        "detector": extractor.detector.describe(),
        "pose": extractor.pose.describe(),
        "depth": extractor.depth.describe(),
        "uadd": {preset.name: preset.describe() for preset in extractor.presets},
        "max_people": extractor.max_people,
        # Only where there are any: without them a pass is what it always was.
        **({"features": extractor.streams.described} if extractor.streams.described else {}),
    }
