"""`render_clip`: a clip as batches of frames with everything that is true of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from ...stores.errors import InvalidValueError
from .clip import Clip
from .motion.mocap import MocapArchive
from .rendering.render import Renderer
from .stage import set_stage
from .truth import truth


@dataclass(frozen=True)
class Batch:
    """B frames of a clip, all tensors on the device they were drawn on.

    number          (B,) int64: which frames of the clip
    image           (B, H, W, 3) uint8, RGB
    depth           (B, H, W) float32, metres along the optical axis; finite everywhere
    person          (B, H, W) uint8: 0 nobody, 1 the subject, 2.. passers-by
    intrinsics      (4,) float32: fx, fy, cx, cy in px; pixel j covers x from j to j + 1
    rotation        (B, 3, 3) and translation (B, 3) float32: X_camera = rotation X_world + translation; y up there
    joints_*        (B, 17, 3) float32, metres, camera frame: H36M-17 and COCO-17
    keypoints_*     (B, 17, 2) float32, px, wherever they fall; NaN behind the camera
    visible_*       (B, 17) bool: in the image and hidden by nothing but the joint's own body part
    boxes           (B, people, 4) float32, px left, top, right, bottom of everybody within the image, hidden parts
                    included, the subject first; NaN for a person outside
    hidden          (B, people) float32: share of a person's pixels that something else covers; NaN: none in the image
    """

    number: Tensor
    image: Tensor
    depth: Tensor
    person: Tensor
    intrinsics: Tensor
    rotation: Tensor
    translation: Tensor
    joints_h36m: Tensor
    joints_coco: Tensor
    keypoints_h36m: Tensor
    keypoints_coco: Tensor
    visible_h36m: Tensor
    visible_coco: Tensor
    boxes: Tensor
    hidden: Tensor

    def __len__(self) -> int:
        return len(self.number)


def render_clip(
    clip: Clip,
    archive: MocapArchive | None = None,
    device: str | torch.device = "cpu",
    batch: int = 8,
    frames: Sequence[int] | None = None,
) -> Iterator[Batch]:
    """Draw a clip, `batch` frames at a time, which bounds the memory.

    frames  which of the clip's frames, by default all, in order. A frame is the same whatever it is drawn with.
    Raises InvalidValueError for an unknown domain or motion or a frame that is not there, MissingFileError for captured
    motion without its archive.
    """
    wanted = np.arange(clip.frames) if frames is None else np.asarray(frames, dtype=int)
    if batch < 1 or not len(wanted) or wanted.min() < 0 or wanted.max() >= clip.frames:
        raise InvalidValueError(
            f"clip {clip.id} has frames 0 to {clip.frames - 1}, drawn one or more at a time; "
            f"cannot draw {batch} at a time of {wanted.tolist()[:8]}"
        )
    stage = set_stage(clip, archive)
    renderer = Renderer(stage.scene, stage.materials, stage.look, stage.camera, clip.id, device)
    intrinsics = torch.tensor(stage.camera.intrinsics, dtype=torch.float32, device=device)
    for start in range(0, len(wanted), batch):
        numbers = wanted[start : start + batch]
        camera = stage.camera[numbers]
        crowd, pose = stage.crowd(numbers)
        drawn = renderer.frames(camera, crowd, numbers)
        known = truth(camera, stage.scene, stage.walkers[0].body, pose, crowd)
        yield Batch(
            number=torch.from_numpy(numbers).to(device),
            image=drawn.image,
            depth=drawn.depth,
            person=drawn.person,
            intrinsics=intrinsics,
            rotation=torch.from_numpy(camera.rotation.astype(np.float32)).to(device),
            translation=torch.from_numpy(camera.translation.astype(np.float32)).to(device),
            hidden=drawn.hidden,
            **{field.name: torch.from_numpy(getattr(known, field.name)).to(device) for field in fields(known)},
        )
