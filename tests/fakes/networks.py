"""Stand-ins for the three networks: their results depend on nothing but the frame's own pixels, and come at once.

A frame whose first pixel is below 8 in all channels shows nobody. They serve tests of the machinery around the
networks; what the networks themselves do is tested with the networks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from auglift.pipeline.device.traffic import upload
from auglift.pipeline.extract import Extractor
from auglift.pipeline.uadd.descriptor import PRESETS


class FakeDetector:
    """One box that depends on the frame, and for wide frames a second, smaller one."""

    name = "fake"

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}

    def boxes(self, frames: Tensor, most: int) -> Tensor:
        height, width = frames.shape[1:3]
        first = [0.1 * width, 0.1 * height, 0.9 * width, 0.9 * height, 0.9]
        second = [0.0, 0.0, 0.3 * width, 0.3 * height, 0.5]
        found = torch.full((len(frames), most, 5), torch.nan, device=frames.device)
        shown_people = [first, second][: min(most, 1 + (width > 2 * height))]
        people = upload(np.array(shown_people, np.float32), frames.device)
        shown = frames[:, 0, 0].amax(dim=1) >= 8
        found[:, : len(people)] = torch.where(shown[:, None, None], people, torch.nan)
        return found


class FakePose:
    """Joints on a spiral inside the box; scores from the frame's mean brightness."""

    name = "fake"

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}

    def estimate(self, frames: Tensor, boxes: Tensor, frame_index: Tensor) -> tuple[Tensor, Tensor]:
        t = torch.linspace(0, 1, 17, device=boxes.device)
        centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
        spiral = torch.stack([t * torch.cos(9 * t), t * torch.sin(9 * t)], dim=-1)
        keypoints = centre[:, None] + half[:, None] * spiral
        mean = frames.float().mean(dim=(1, 2, 3))[frame_index] / 255
        return keypoints, mean[:, None] * (1.2 - 0.5 * t) * half[:, :1].sign()


class FakeDepth:
    """Depth from grey value, at a quarter of the resolution."""

    name = "fake"

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}

    def estimate(self, frames: Tensor) -> Tensor:
        return frames[:, ::4, ::4].float().mean(dim=-1) / 64 + 1


def fake_extractor(device: str = "cpu") -> Extractor:
    return Extractor(FakeDetector(), FakePose(), FakeDepth(), tuple(PRESETS.values()), torch.device(device))
