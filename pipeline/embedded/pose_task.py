"""What the tiny pose network learns: batches of crops with joints, drawn from a cache, and RTMPose's loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...stores.format.skeleton import COCO_17
from ..networks import openmmlab, tiny
from ..synth.scene.camera import HALF_PIXEL
from .augment import Rng, cover, joint_in, paint, warp
from .batch import Batch, stack
from .cache import FrameCache
from .detector_task import SMALLEST

# The score to learn for a visible joint, a hidden one, and one outside the crop. Not 0: a joint without a positive
# score has no position, and the estimate for a hidden joint is useful.
SCORE_VISIBLE, SCORE_HIDDEN, SCORE_OUTSIDE = 1.0, 0.15, 0.05
_SHARPNESS = 10.0  # RTMPose's beta: the softmax is of ten times the response
_CELLS_SIGMA = 1.0  # cells: width of the target for the head's first layer
_HIDDEN_WEIGHT = 0.3  # weight of a hidden joint's position; a visible one has 1


def build_pose(seed: int) -> nn.Module:
    """Build the pose network with random weights, trainable."""
    config = openmmlab.load("mmengine.config").Config(tiny.POSE)
    return openmmlab.build(config, "mmpose", seed).train().requires_grad_(True)


def pose_sample(cache: FrameCache, indices: np.ndarray, rng: Rng | None) -> Batch:
    """Draw a batch of crops about the subject.

    Returns images (B, h, w, 3) uint8, xy (B, 17, 2) px of the crop, visible and inside (B, 17) bool.
    """
    width, height = size = tiny.POSE_SIZE
    images, places, seen, within = [], [], [], []
    for index in indices:
        box, visible = cache.boxes[index, 0], cache.visible_coco[index].copy()
        xy = cache.keypoints_coco[index] - HALF_PIXEL  # the warp below puts pixel centres at integers, and so do stores
        if not np.isfinite(box).all() or (box[2:] - box[:2]).min() < SMALLEST:
            box = np.array([0, 0, *cache.image.shape[2:0:-1]], dtype=np.float32)  # no person: the crop has no weight
            visible[:] = False
            xy = np.full_like(xy, np.nan)
        centre, extent = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) * 1.25
        extent = np.maximum(extent, extent[::-1] * np.array([width / height, height / width]))
        angle = 0.0
        if rng is not None:
            if rng.random() < 0.1:  # half a person, as behind another one or at the frame's edge
                centre = centre + extent * [0, rng.uniform(-0.25, 0.25)]
                extent = extent * rng.uniform(0.55, 0.8)
            centre = centre + extent * rng.uniform(-0.08, 0.08, 2)
            extent = extent * np.exp(rng.uniform(-0.22, 0.25))
            # People lie, bend over and stand on their hands; a few thousand clips show that too rarely.
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
        "images": stack(images),
        "xy": torch.from_numpy(np.stack(places)).float(),
        "visible": torch.from_numpy(np.stack(seen)),
        "inside": torch.from_numpy(np.stack(within)),
    }


def pose_loss(model: Any, batch: Batch) -> dict[str, Tensor]:
    """Return RTMPose's loss, the divergence of each axis from a Gaussian about the joint, and the loss of the score.

    A constant added to a whole response does not change the divergence, so the maximum, the score, has its own loss.
    """
    settings = tiny.POSE["model"]
    inputs = openmmlab.Normalisation(settings["data_preprocessor"], batch["images"].device)(batch["images"].float())
    features = model.extract_feat(inputs.contiguous(memory_format=torch.channels_last))
    responses = model.head(features)
    codec = settings["head"]["decoder"]
    visible, inside = batch["visible"], batch["inside"]
    weight = torch.where(visible, 1.0, _HIDDEN_WEIGHT) * inside
    score_target = torch.where(visible, SCORE_VISIBLE, torch.where(inside, SCORE_HIDDEN, SCORE_OUTSIDE))
    place, score = inputs.new_zeros(()), inputs.new_zeros(())
    for axis, response in enumerate(responses):
        bins = torch.arange(response.shape[-1], device=response.device)
        mean = batch["xy"][..., axis, None] * codec["simcc_split_ratio"]
        gaussian = torch.exp(-0.5 * ((bins - mean) / codec["sigma"][axis]).square())
        target = (gaussian * _SHARPNESS).softmax(-1)
        divergence = F.kl_div((response * _SHARPNESS).log_softmax(-1), target, reduction="none").sum(-1)
        place = place + (divergence * weight).sum() / weight.sum().clamp(min=1)
        score = score + F.smooth_l1_loss(response.amax(-1), score_target, beta=0.2)
    # From random weights the responses learn nothing for a long time. The head's first layer, a map of cells for each
    # joint, learns at once where to look if it has a loss of its own.
    cells = model.head.final_layer(features[-1])
    rows, columns = (torch.arange(length, device=cells.device) + 0.5 for length in cells.shape[-2:])
    at = batch["xy"] / (inputs.shape[-1] / cells.shape[-1])
    far = (columns - at[..., 0, None]).square()[..., None, :] + (rows - at[..., 1, None]).square()[..., None]
    target = (_SHARPNESS * (-0.5 * far.flatten(2) / _CELLS_SIGMA**2).exp()).softmax(-1)
    divergence = F.kl_div((cells.flatten(2) * _SHARPNESS).log_softmax(-1), target, reduction="none").sum(-1)
    return {"place": place, "score": score, "cells": (divergence * weight).sum() / weight.sum().clamp(min=1)}
