"""Any top-down model of MMPose from its own configuration: crops in batches here, the rest by its own head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....stores.errors import InvalidValueError
from ...features.joints import to_h36m
from ...features.sampling import sample
from .. import openmmlab
from ..pose import crop, crop_frame, into_crop
from .config_file import ConfigFile, Opened, attempt, open_config, step_name, test_dataset
from .joint_names import JointRows, joint_rows

_PADDING = 1.25  # MMPose's default; most configurations leave it out
_STEPS = ("LoadImage", "GetBBoxCenterScale", "TopdownAffine", "PackPoseInputs")


class TopdownPose:
    """SimCC, heat maps, or whatever a head of MMPose's top-down models decodes, with its own flip test.

    names   of the network's joints
    mirror  of each joint, which one a mirror makes it
    """

    def __init__(
        self, opened: Opened, names: Sequence[str], mirror: Sequence[int], device: torch.device, crop_batch: int
    ):
        self.name = opened.identity["name"]
        self.crop_batch = crop_batch
        self._identity = opened.identity
        self._device = device
        self._model = opened.model.to(device)
        kinds = openmmlab.load("mmpose.models.pose_estimators")
        if not isinstance(self._model, kinds.TopdownPoseEstimator):
            kind = type(self._model).__name__
            raise InvalidValueError(f"{self.name} is a {kind}: only MMPose's top-down models (TopdownPoseEstimator)")
        steps = {step_name(step): step for step in test_dataset(opened.config, self.name)["pipeline"]}
        strange = [name for name in steps if name not in _STEPS]
        if strange or "TopdownAffine" not in steps:
            found = f"has the step {strange[0]}" if strange else "has no TopdownAffine"
            raise InvalidValueError(f"{self.name}: its test pipeline {found}; the crop must be MMPose's TopdownAffine")
        width, height = steps["TopdownAffine"]["input_size"]
        self.input_size = (int(width), int(height))
        self._udp = bool(steps["TopdownAffine"].get("use_udp", False))
        self._padding = float(steps.get("GetBBoxCenterScale", {}).get("padding", _PADDING))
        self._normalise = openmmlab.Normalisation(opened.config.model.get("data_preprocessor") or {}, device)
        self._mirror = list(mirror)
        chosen = self._model.test_cfg.get("output_keypoint_indices")
        self._names = [str(names[number]) for number in (range(len(names)) if chosen is None else chosen)]
        self._joints: JointRows = joint_rows(self._names, self.name)
        self._sample = openmmlab.load("mmpose.structures").PoseDataSample
        self._instances = openmmlab.load("mmengine.structures").InstanceData
        self._sampling = ""  # of the last feature map at the joints; empty: the map is not kept
        self._maps: list[Any] = []  # what the backbone, or the neck, gave since it was emptied
        self._channels = 0

    @property
    def to_h36m(self) -> tuple[tuple[int, ...], ...]:
        """For each joint of H36M-17, which of the joints that `estimate` returns it is the mean of."""
        return self._joints.rows

    def describe(self) -> dict[str, Any]:
        return {
            **self._identity,
            "input_size": list(self.input_size),
            "box_padding": self._padding,
            "udp": self._udp,
            "flip_test": bool(self._model.test_cfg.get("flip_test", False)),
            "crop_batch": self.crop_batch,
            "joints": [self._names[number] for number in self._joints.used],
        }

    def estimate(self, frames: Tensor, boxes: Tensor, frame_index: Tensor) -> tuple[Tensor, Tensor]:
        """See `PoseEstimator`; (M, K, 2) and (M, K) of the joints that make H36M-17."""
        keypoints, score, _ = self._estimate(frames, boxes, frame_index)
        return keypoints, score

    def with_features(self, sampling: str) -> dict[str, Any]:
        """See `PoseWithFeatures`; InvalidValueError where the network's last output is no map."""
        last = self._model.neck if getattr(self._model, "with_neck", False) else self._model.backbone
        last.register_forward_hook(lambda module, given, found: self._maps.append(found))
        self._sampling = sampling
        width, height = self.input_size
        self._channels = self._map_of(torch.zeros(1, height, width, 3, device=self._device)).shape[1]
        about = {key: self._identity[key] for key in ("name", "weights") if key in self._identity}
        return {**about, "input_size": list(self.input_size), "channels": self._channels, "sampling": sampling}

    def estimate_with_features(
        self, frames: Tensor, boxes: Tensor, frame_index: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `PoseWithFeatures`."""
        return self._estimate(frames, boxes, frame_index)

    @torch.inference_mode()
    def features_at(self, frames: Tensor, boxes: Tensor, frame_index: Tensor, joints: Tensor) -> Tensor:
        """See `PoseWithFeatures`."""
        centre, extent = crop_frame(boxes[:, :4].to(self._device, torch.float32), self.input_size, self._padding)
        places = into_crop(joints.to(self._device, torch.float32), centre, extent, self.input_size, self._udp)
        found = [places.new_empty(0, places.shape[1], self._channels)]
        for start in range(0, len(boxes), self.crop_batch):
            part = slice(start, start + self.crop_batch)
            crops = crop(frames, frame_index[part], centre[part], extent[part], self.input_size, self._udp)
            found.append(sample(self._map_of(crops), places[part], self.input_size, self._sampling))
        return torch.cat(found)

    @torch.inference_mode()
    def _map_of(self, crops: Tensor) -> Tensor:
        """The last feature map of crops, without the head."""
        self._maps.clear()
        attempt(f"{self.name} does not run", lambda: self._model.extract_feat(self._normalise(crops)))
        return self._first_map()

    def _first_map(self) -> Tensor:
        """The map of the first pass since they were emptied: with a flip test, of the crops that are not mirrored."""
        found = self._maps[0] if self._maps else None
        self._maps.clear()
        last = found[-1] if isinstance(found, (tuple, list)) and found else found
        if not isinstance(last, Tensor) or last.dim() != 4:
            raise InvalidValueError(
                f"--features pose: the last output of '{self.name}' before its head is no map (M, C, h, w) to sample; "
                "leave out 'pose'"
            )
        return last

    @torch.inference_mode()
    def _estimate(self, frames: Tensor, boxes: Tensor, frame_index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Joints, scores and, where the map is kept, features at the joints of H36M-17; else none."""
        features = [torch.empty(0, len(self.to_h36m), self._channels, device=self._device)]
        centre, extent = crop_frame(boxes[:, :4].to(self._device, torch.float32), self.input_size, self._padding)
        used = list(self._joints.used)
        keypoints = torch.empty(len(boxes), len(used), 2, device=self._device)
        score = torch.empty(len(boxes), len(used), device=self._device)
        for start in range(0, len(boxes), self.crop_batch):
            part = slice(start, start + self.crop_batch)
            crops = crop(frames, frame_index[part], centre[part], extent[part], self.input_size, self._udp)
            found = self._predict(crops, centre[part].cpu().numpy(), extent[part].cpu().numpy())
            keypoints[part] = torch.from_numpy(np.stack([each.keypoints[0, used, :2] for each in found]))
            score[part] = torch.from_numpy(np.stack([each.keypoint_scores[0, used] for each in found]))
            if self._sampling:
                joints = to_h36m(keypoints[part], self.to_h36m)
                places = into_crop(joints, centre[part], extent[part], self.input_size, self._udp)
                features.append(sample(self._first_map(), places, self.input_size, self._sampling))
        return keypoints, score, torch.cat(features)

    def _predict(self, crops: Tensor, centre: np.ndarray, extent: np.ndarray) -> list[Any]:
        """What MMPose's own `predict` finds in crops (M, h, w, 3), in px of the frame."""
        samples = []
        for middle, size in zip(centre, extent, strict=True):
            sample = self._sample()
            sample.set_metainfo(
                {
                    "input_size": self.input_size,
                    "input_center": middle,
                    "input_scale": size,
                    "flip_indices": self._mirror,
                }
            )
            sample.gt_instances = self._instances(bboxes=np.zeros((1, 4)), bbox_scores=np.ones(1))
            samples.append(sample)
        self._maps.clear()
        return [each.pred_instances for each in self._model.predict(self._normalise(crops), samples)]

    def try_out(self) -> None:
        """InvalidValueError or MissingExtraError where it does not run, or finds another number of joints."""
        width, height = self.input_size
        crops = torch.zeros(1, height, width, 3, device=self._device)
        with torch.inference_mode():
            found = attempt(
                f"{self.name} does not run on a crop of {width} x {height}",
                lambda: self._predict(crops, np.zeros((1, 2), np.float32), np.ones((1, 2), np.float32)),
            )
        count = found[0].keypoints.shape[1]
        if count != len(self._names):
            raise InvalidValueError(
                f"{self.name} finds {count} joints, its dataset_meta names {len(self._names)}: "
                f"{', '.join(self._names[:6])} ..."
            )


def build_topdown(
    named: ConfigFile, weights: str | Path | None, device: torch.device, crop_batch: int = 16
) -> TopdownPose:
    """The model of a configuration with its checkpoint, on the device.

    Its joints are what the checkpoint's `dataset_meta` names, else the configuration's data set.
    Raises what `open_config` does, and InvalidValueError for another kind of model and for joints that do not make
    H36M-17.
    """
    opened = open_config(named, "pose", "mmpose", weights)
    names, mirror = _joints(opened)
    pose = TopdownPose(opened, names, mirror, device, crop_batch)
    pose.try_out()
    return pose


def _joints(opened: Opened) -> tuple[list[str], list[int]]:
    """Names of the joints in order, and of each the number of its mirror image."""
    meta = opened.dataset_meta
    if "keypoint_id2name" not in meta:
        whose = opened.identity["name"]
        meta = attempt(f"{whose}: it is not known what its joints are", lambda: _configured(opened.config, whose))
    names = {int(number): str(name) for number, name in meta["keypoint_id2name"].items()}
    ordered = [names[number] for number in sorted(names)]
    mirror = meta.get("flip_indices")
    if mirror is None or len(mirror) != len(ordered):
        raise InvalidValueError(f"{opened.identity['name']}: its dataset_meta has no flip_indices for its joints")
    return ordered, [int(number) for number in mirror]


def _configured(config: Any, whose: str) -> Mapping[str, Any]:
    """MMPose's description of the data set that a configuration tests on: a file's, or the data set's own."""
    dataset = test_dataset(config, whose)
    utils = openmmlab.load("mmpose.datasets.datasets.utils")
    with openmmlab.quietly():
        if dataset.get("metainfo"):
            return utils.parse_pose_metainfo(dict(dataset["metainfo"]))
        kind = dataset.get("type")
        registered = kind if isinstance(kind, type) else openmmlab.load("mmpose.registry").DATASETS.get(kind)
        if registered is None:
            raise ValueError(f"it names the unknown data set {kind}")
        return utils.parse_pose_metainfo(registered.METAINFO)
