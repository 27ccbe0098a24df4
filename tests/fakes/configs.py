"""Configurations of MMPose and MMDetection as a user writes them: a few lines over an official one; and checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from auglift.pipeline.networks import openmmlab

HALPE_26 = "mmpose::body_2d_keypoint/rtmpose/body8/rtmpose-t_8xb1024-700e_body8-halpe26-256x192.py"
HEATMAP_UDP = "mmpose::body_2d_keypoint/topdown_heatmap/coco/cspnext-tiny_udp_8xb256-210e_coco-256x192.py"
YOLOX = "mmdet::yolox/yolox_tiny_8xb8-300e_coco.py"
FASTER_RCNN = "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"


def write_config(path: Path, base: str, *lines: str) -> Path:
    """A configuration that inherits from `base`, with further lines of Python."""
    path.write_text("\n".join([f"_base_ = [{base!r}]", *lines]) + "\n")
    return path


def official(base: str) -> Any:
    """The official configuration of that name."""
    package, _, path = base.partition("::")
    return openmmlab.read_config(f"{package}/.mim/configs/{path}")


def write_checkpoint(path: Path, state: Mapping[str, Tensor], dataset_meta: Mapping[str, Any] | None = None) -> Path:
    """As OpenMMLab's runner saves it: weights, and a description that holds NumPy arrays too."""
    meta = {"epoch": 3, "cfg": "raise SystemExit('a configuration in a checkpoint was run')"}
    torch.save({"meta": meta | ({"dataset_meta": dataset_meta} if dataset_meta else {}), "state_dict": state}, path)
    return path


def described(name: str) -> dict[str, Any]:
    """MMPose's own description of a data set's joints, by the name of its file."""
    return openmmlab.load("mmpose.datasets.datasets.utils").parse_pose_metainfo(
        {"from_file": f"configs/_base_/datasets/{name}.py"}
    )
