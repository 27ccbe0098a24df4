"""What each of the three networks learns: its batches, drawn from a cache of frames, and its loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...stores.skeleton import COCO_17
from .. import openmmlab
from ..depth import MEAN, STD, build_depth_anything
from ..resize import resize_bicubic
from . import architectures
from .augment import Rng, cover, joint_in, paint, warp
from .cache import FrameCache

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Task:
    """One network's training.

    build   (seed) -> the network with random weights, trainable
    sample  (cache, indices, rng) -> a batch; without rng, the frames as they are, to measure the loss on
    loss    (network, batch) -> the losses by name; their sum is what is minimised
    rate    the highest learning rate of AdamW
    """

    build: Callable[[int], nn.Module]
    sample: Callable[[FrameCache, np.ndarray, Rng | None], Batch]
    loss: Callable[[Any, Batch], dict[str, Tensor]]
    batch: int
    rate: float
    decay: float


def _pixels(images: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(images))


# ---------------------------------------------------------------------------------------------------------------------
# Detector
# ---------------------------------------------------------------------------------------------------------------------

# A person hidden more than this, or smaller, is not asked for: nobody could tell.
MOST_HIDDEN, SMALLEST = 0.85, 6.0


def build_detector(seed: int) -> nn.Module:
    config = openmmlab.load("mmengine.config").Config(architectures.DETECTOR)
    model: Any = openmmlab.build(config, "mmdet", seed)
    model.bbox_head.train_cfg = config.__class__({"allowed_border": -1, "pos_weight": -1, "debug": False})
    # By their classes: what a registry finds depends on which package was used last.
    parts = openmmlab.load("mmdet.models.task_modules")
    model.bbox_head.assigner = parts.DynamicSoftLabelAssigner(topk=13, iou_calculator={"type": "mmdet.BboxOverlaps2D"})
    model.bbox_head.sampler = parts.PseudoSampler()
    return model.train().requires_grad_(True)


def wanted_people(boxes: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """(P,) bool: the people of a frame, boxes (P, 4) px and share hidden (P,), whom a detector should find."""
    sides = boxes[:, 2:] - boxes[:, :2]
    with np.errstate(invalid="ignore"):
        return (sides.min(1) >= SMALLEST) & ~(hidden > MOST_HIDDEN) & np.isfinite(hidden)


def detector_sample(cache: FrameCache, indices: np.ndarray, rng: Rng | None) -> Batch:
    """images (B, S, S, 3) uint8; boxes (B, P, 4) px, NaN for nobody."""
    side, images, people = architectures.DETECTOR_SIDE, [], []
    for index in indices:
        image, boxes = np.asarray(cache.image[index]), cache.boxes[index].copy()
        boxes[~wanted_people(boxes, cache.hidden[index])] = np.nan
        scale, shift = side / image.shape[1], np.zeros(2)
        if rng is not None:
            scale *= np.exp(rng.uniform(np.log(0.7), np.log(1.7)))
            # Zoomed in, the window is drawn about a person, so that most pictures show somebody.
            centre = np.nan_to_num(boxes[0, :2] + boxes[0, 2:], nan=side) / 2 * scale
            free = side - image.shape[1] * scale
            if free < 0:
                shift = np.clip(side * rng.uniform(0.2, 0.8, 2) - centre, free, 0)
            else:
                shift = rng.uniform(0, 1, 2) * free
        flip = rng is not None and rng.random() < 0.5
        matrix = np.array([[scale, 0, shift[0] + (scale - 1) / 2], [0, scale, shift[1] + (scale - 1) / 2]])
        if scale != 1 or shift.any():
            image = warp(image, matrix, (side, side), 114)
        full = boxes * scale + np.tile(shift, 2)
        boxes = full.clip(0, side)
        with np.errstate(invalid="ignore"):
            left = (boxes[:, 2:] - boxes[:, :2]).prod(1) / (full[:, 2:] - full[:, :2]).prod(1)
            boxes[(left < 0.2) | ((boxes[:, 2:] - boxes[:, :2]).min(1) < SMALLEST)] = np.nan
        if flip:
            image = image[:, ::-1]
            boxes[:, [0, 2]] = side - boxes[:, [2, 0]]
        if rng is not None:
            if rng.random() < 0.3:
                image, _ = cover(np.ascontiguousarray(image), rng, most=2, largest=0.2)
            image = paint(np.ascontiguousarray(image), rng)
        images.append(image)
        people.append(boxes)
    return {"images": _pixels(images), "boxes": torch.from_numpy(np.stack(people)).float()}


def detector_loss(model: Any, batch: Batch) -> dict[str, Tensor]:
    """RTMDet's own: quality focal loss and GIoU loss over its dynamic assignment."""
    settings = architectures.DETECTOR["model"]["data_preprocessor"]
    inputs = openmmlab.Normalisation(settings, batch["images"].device)(batch["images"].float())
    instances = openmmlab.load("mmengine.structures").InstanceData
    truth = []
    for boxes in batch["boxes"]:
        boxes = boxes[torch.isfinite(boxes).all(1)]
        truth.append(instances(bboxes=boxes, labels=torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)))
    metas = [{"img_shape": inputs.shape[-2:], "pad_shape": inputs.shape[-2:]}] * len(truth)
    maps = model.bbox_head(model.extract_feat(inputs.contiguous(memory_format=torch.channels_last)))
    losses = model.bbox_head.loss_by_feat(*maps, batch_gt_instances=truth, batch_img_metas=metas)
    return {
        "classes": torch.stack(list(losses["loss_cls"])).sum(),
        "boxes": torch.stack(list(losses["loss_bbox"])).sum(),
    }


# ---------------------------------------------------------------------------------------------------------------------
# Pose
# ---------------------------------------------------------------------------------------------------------------------

# What the score is taught to say of a joint in plain sight, of a hidden one, and of one outside the crop. Not 0: a
# joint whose score is not positive has no position at all, and the guess at a hidden one is worth having.
SCORE_VISIBLE, SCORE_HIDDEN, SCORE_OUTSIDE = 1.0, 0.15, 0.05
_SHARPNESS = 10.0  # RTMPose's beta: the softmax is of ten times the response
_CELLS_SIGMA = 1.0  # cells: the bell asked of the head's first layer
_HIDDEN_WEIGHT = 0.3  # what a hidden joint's position counts beside a visible one's


def build_pose(seed: int) -> nn.Module:
    config = openmmlab.load("mmengine.config").Config(architectures.POSE)
    return openmmlab.build(config, "mmpose", seed).train().requires_grad_(True)


def pose_sample(cache: FrameCache, indices: np.ndarray, rng: Rng | None) -> Batch:
    """images (B, h, w, 3) uint8, crops about the subject; xy (B, 17, 2) px of those; visible, inside (B, 17) bool."""
    width, height = size = architectures.POSE_SIZE
    images, places, seen, within = [], [], [], []
    for index in indices:
        box, xy, visible = cache.boxes[index, 0], cache.keypoints_coco[index], cache.visible_coco[index].copy()
        if not np.isfinite(box).all() or (box[2:] - box[:2]).min() < SMALLEST:
            box = np.array([0, 0, *cache.image.shape[2:0:-1]], dtype=np.float32)  # nobody: the crop counts for nothing
            visible[:] = False
            xy = np.full_like(xy, np.nan)
        centre, extent = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) * 1.25
        extent = np.maximum(extent, extent[::-1] * np.array([width / height, height / width]))
        angle = 0.0
        if rng is not None:
            if rng.random() < 0.1:  # half a person, as a box at another's or at the frame's edge
                centre = centre + extent * [0, rng.uniform(-0.25, 0.25)]
                extent = extent * rng.uniform(0.55, 0.8)
            centre = centre + extent * rng.uniform(-0.08, 0.08, 2)
            extent = extent * np.exp(rng.uniform(-0.22, 0.25))
            # People lie, bend over and stand on their hands, more often in a test than among a few thousand clips.
            turned = rng.random()
            angle = rng.uniform(-180, 180) if turned < 0.15 else rng.normal(0, 25) if turned < 0.5 else 0.0
        # As in `pose.crop`: crop pixel i lies at (i - size / 2) * extent / size + centre.
        scale, turn = width / extent[0], np.deg2rad(angle)
        linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        matrix = np.column_stack([linear, np.array(size) / 2 - linear @ centre])
        image = warp(np.asarray(cache.image[index]), matrix, size, 0)
        xy = xy @ linear.T + matrix[:, 2]
        if rng is not None:
            if rng.random() < 0.5:
                image = image[:, ::-1]
                xy, visible = xy[COCO_17.flip] * [-1, 1] + [width - 1, 0], visible[COCO_17.flip]
            if rng.random() < 0.4:
                image, covered = cover(np.ascontiguousarray(image), rng, most=3, largest=0.4)
                visible = visible & ~joint_in(covered, xy)
            image = paint(np.ascontiguousarray(image), rng)
        with np.errstate(invalid="ignore"):
            inside = ((xy >= 0) & (xy <= [width - 1, height - 1])).all(1)
        images.append(image)
        places.append(np.nan_to_num(xy, nan=-1e3))
        seen.append(visible & inside)
        within.append(inside)
    return {
        "images": _pixels(images),
        "xy": torch.from_numpy(np.stack(places)).float(),
        "visible": torch.from_numpy(np.stack(seen)),
        "inside": torch.from_numpy(np.stack(within)),
    }


def pose_loss(model: Any, batch: Batch) -> dict[str, Tensor]:
    """RTMPose's: the divergence of each axis from a bell about the joint. And the score from what it is to say.

    The divergence leaves open what is added to a whole response, so the maximum is taught by itself.
    """
    settings = architectures.POSE["model"]
    inputs = openmmlab.Normalisation(settings["data_preprocessor"], batch["images"].device)(batch["images"].float())
    features = model.extract_feat(inputs.contiguous(memory_format=torch.channels_last))
    responses = model.head(features)
    codec = settings["head"]["decoder"]
    visible, inside = batch["visible"], batch["inside"]
    weight = torch.where(visible, 1.0, _HIDDEN_WEIGHT) * inside
    said = torch.where(visible, SCORE_VISIBLE, torch.where(inside, SCORE_HIDDEN, SCORE_OUTSIDE))
    place, score = inputs.new_zeros(()), inputs.new_zeros(())
    for axis, response in enumerate(responses):
        bins = torch.arange(response.shape[-1], device=response.device)
        mean = batch["xy"][..., axis, None] * codec["simcc_split_ratio"]
        bell = torch.exp(-0.5 * ((bins - mean) / codec["sigma"][axis]).square())
        target = (bell * _SHARPNESS).softmax(-1)
        divergence = F.kl_div((response * _SHARPNESS).log_softmax(-1), target, reduction="none").sum(-1)
        place = place + (divergence * weight).sum() / weight.sum().clamp(min=1)
        score = score + F.smooth_l1_loss(response.amax(-1), said, beta=0.2)
    # From random weights the responses say nothing for a long time: the head's first layer, a map of cells for each
    # joint, learns at once where to look if it is asked.
    cells = model.head.final_layer(features[-1])
    rows, columns = (torch.arange(length, device=cells.device) + 0.5 for length in cells.shape[-2:])
    at = batch["xy"] / (inputs.shape[-1] / cells.shape[-1])
    far = (columns - at[..., 0, None]).square()[..., None, :] + (rows - at[..., 1, None]).square()[..., None]
    target = (_SHARPNESS * (-0.5 * far.flatten(2) / _CELLS_SIGMA**2).exp()).softmax(-1)
    divergence = F.kl_div((cells.flatten(2) * _SHARPNESS).log_softmax(-1), target, reduction="none").sum(-1)
    return {"place": place, "score": score, "cells": (divergence * weight).sum() / weight.sum().clamp(min=1)}


# ---------------------------------------------------------------------------------------------------------------------
# Depth
# ---------------------------------------------------------------------------------------------------------------------


_CUT, _CUT_SHARE = 8, 0.75  # patches a side of the part that is cut out, and how often one is


def build_depth(seed: int) -> nn.Module:
    from ..weights import seeded

    with seeded(seed):
        model: Any = build_depth_anything(architectures.DEPTH)
        # transformers draws every weight with a deviation of 0.02, which is for what was trained before: in channels
        # this few, each layer would leave a sixth of its input, and nothing would come of the picture.
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
            elif isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
        for layer in model.neck.modules():
            if type(layer).__name__.endswith("PreActResidualLayer"):
                nn.init.kaiming_normal_(layer.convolution1.weight)  # after a ReLU
                nn.init.zeros_(layer.convolution2.weight)  # at first as if it were not there
        nn.init.kaiming_normal_(model.head.conv2.weight)
        _where_patches_are(model.backbone.embeddings.position_embeddings)
        nn.init.normal_(model.head.conv3.weight, std=0.05)
    # Half of max_depth, which is where a network starts, is twice as far as anybody stands.
    nn.init.constant_(model.head.conv3.bias, -1.2)
    return model.to(memory_format=torch.channels_last).train().requires_grad_(True)


@torch.no_grad()
def _where_patches_are(embeddings: Tensor) -> None:
    """Sines and cosines of row and column (Vaswani 2017) into (1, 1 + n * n, C): drawn ones are learnt too slowly."""
    count, channels = math.isqrt(embeddings.shape[1]), embeddings.shape[2] // 4
    waves = torch.arange(count)[:, None] / 100 ** (torch.arange(channels) / channels)
    waves = torch.cat([waves.sin(), waves.cos()], 1)
    rows, columns = waves[:, None].expand(-1, count, -1), waves[None].expand(count, -1, -1)
    embeddings[0, 1:] = torch.cat([rows, columns], 2).flatten(0, 1)


def depth_sample(cache: FrameCache, indices: np.ndarray, rng: Rng | None) -> Batch:
    """images (B, s, s, 3) uint8; depth (B, s, s) m; person (B, s, s) uint8, as in `synth.video.Batch`; corner (B, 2).

    Moved a little and mirrored, never zoomed: that would be another camera at the same distance. Most batches are cut
    out about the subject, as whole patches from row and column `corner`: a third of the work, most of what matters.
    """
    side, patch, images, depths, people, corners = architectures.DEPTH_SIDE, architectures.DEPTH_PATCH, [], [], [], []
    cut = _CUT if rng is not None and rng.random() < _CUT_SHARE else side // patch
    for index in indices:
        image, depth, person = (np.asarray(getattr(cache, name)[index]) for name in ("image", "depth", "person"))
        if rng is not None:
            size = image.shape[0]
            x, y = rng.integers(-size // 24, size // 24 + 1, 2)
            rows, columns = (np.clip(np.arange(size) + move, 0, size - 1) for move in (y, x))
            columns = columns[::-1] if rng.random() < 0.5 else columns
            image, depth, person = (array[rows][:, columns] for array in (image, depth, person))
            # Quicker than the bicubic below and as free of aliases; small pictures are quicker painted.
            image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
            image = paint(image, rng) if rng.random() < 0.4 else image
        depth, person = nearest_depth(depth, person)
        depth, person = thinned(depth, side), thinned(person, side)
        corner = np.zeros(2, dtype=int)
        if rng is not None and cut * patch < side:
            rows, columns = np.nonzero(person == 1)
            middle = (rows.mean(), columns.mean()) if len(rows) else (side / 2, side / 2)
            corner = np.rint(np.array(middle) / patch - cut / 2 + rng.uniform(-2, 2, 2)).astype(int)
            corner = corner.clip(0, side // patch - cut)
            window = tuple(slice(start, start + cut * patch) for start in corner * patch)
            image, depth, person = image[window], depth[window], person[window]
        images.append(image)
        depths.append(depth)
        people.append(person)
        corners.append(corner)
    pixels = _pixels(images)
    resized = resize_bicubic(pixels, (side, side)) if rng is None else pixels.permute(0, 3, 1, 2)
    truth = {"depth": _pixels(depths).float(), "person": _pixels(people)}
    return {"images": resized, **truth, "corner": torch.from_numpy(np.stack(corners))}


def nearest_depth(depth: np.ndarray, person: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The depth (h, w) of what is nearest within a pixel, and whose it is.

    Limbs are two pixels wide for this network: of a map that is thinned out as it is, interpolated, next to nothing of
    them is left, and a joint would have the depth of the wall.
    """
    around = np.ones((3, 3), np.uint8)
    depth = depth.astype(np.float32)
    nearest = cv2.erode(depth, around)
    whose = np.zeros_like(person)
    for mask, label in ((person > 1, 2), (person == 1, 1)):
        whose[cv2.erode(np.where(mask, depth, np.float32(np.inf)), around) == nearest] = label
    return nearest, whose


def thinned(array: np.ndarray, side: int) -> np.ndarray:
    """Of a square (n, n) the (side, side) entries that lie at the middles of as many equal cells."""
    at = ((np.arange(side) + 0.5) * (len(array) / side)).astype(int)
    return array[at][:, at]


def depth_of_part(model: Any, inputs: Tensor, corner: Tensor) -> Tensor:
    """Depth (B, h, w) of parts (B, 3, h, w) of pictures, whose patches know where in the whole they are."""
    embeddings, whole = model.backbone.embeddings, architectures.DEPTH_SIDE // architectures.DEPTH_PATCH
    own, places = embeddings.position_embeddings.split([1, whole * whole], dim=1)
    rows, columns = (
        corner[:, axis, None] + torch.arange(inputs.shape[2 + axis] // architectures.DEPTH_PATCH, device=corner.device)
        for axis in (0, 1)
    )
    chosen = places[0].unflatten(0, (whole, whole))[rows[:, :, None], columns[:, None]].flatten(1, 2)
    chosen = torch.cat([own.expand(len(chosen), -1, -1), chosen], 1)
    embeddings.interpolate_pos_encoding = lambda *_: chosen  # of this object alone
    try:
        return model(inputs).predicted_depth
    finally:
        del embeddings.interpolate_pos_encoding


def depth_loss(model: Any, batch: Batch) -> dict[str, Tensor]:
    """Scale-invariant logarithmic loss (Eigen 2014), steps between neighbours, and the subject's relief in metres.

    People are a twentieth of a picture and half of the loss.
    """
    mean = torch.tensor(MEAN, device=batch["images"].device).view(3, 1, 1)
    std = torch.tensor(STD, device=mean.device).view(3, 1, 1)
    inputs = ((batch["images"] / 255 - mean) / std).contiguous(memory_format=torch.channels_last)
    depth = depth_of_part(model, inputs, batch["corner"]).clamp(min=0.05)
    truth, person = batch["depth"].clamp(0.05, 19.5), batch["person"]
    shown, subject = (person > 0).float(), (person == 1).float()
    weight = 1 / person[0].numel() + shown / shown.sum((1, 2), keepdim=True).clamp(min=50)
    weight = weight / weight.sum()
    error = depth.log() - truth.log()
    silog = ((weight * error.square()).sum() - 0.5 * (weight * error).sum().square()).clamp(min=1e-8).sqrt()
    near = shown * 4 + 1
    steps = error.new_zeros(())
    for step in (1, 4):
        for axis in (1, 2):
            length = error.shape[axis]
            ahead, behind = (error.narrow(axis, start, length - step) for start in (step, 0))
            steps = steps + ((ahead - behind).abs() * near.narrow(axis, 0, length - step)).mean()
    pixels = subject.sum((1, 2)).clamp(min=1)
    metres = (depth - truth) * subject
    relief = metres - (metres.sum((1, 2)) / pixels)[:, None, None]
    counted = (pixels > 20).float()
    relief = ((relief.abs() * subject).sum((1, 2)) / pixels * counted).sum() / counted.sum().clamp(min=1)
    return {"silog": 2 * silog, "steps": steps, "relief": 4 * relief}


TASKS: Mapping[str, Task] = {
    "detector": Task(build_detector, detector_sample, detector_loss, batch=8, rate=2e-3, decay=0.05),
    "pose": Task(build_pose, pose_sample, pose_loss, batch=16, rate=2e-3, decay=0.05),
    "depth": Task(build_depth, depth_sample, depth_loss, batch=16, rate=1e-3, decay=0.03),
}
