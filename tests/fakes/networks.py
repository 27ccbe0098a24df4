"""Stand-ins for the three networks: their results depend on nothing but the frame's own pixels, and come at once.

A frame whose first pixel is below 8 in all channels shows nobody. They serve tests of the machinery around the
networks; what the networks themselves do is tested with the networks.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from auglift.pipeline.extract import Extractor
from auglift.pipeline.uadd.descriptor import PRESETS


class FakeDetector:
    """One box that depends on the frame, and for wide frames a second, smaller one."""

    name = "fake"

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}

    def detect(self, frames: Tensor) -> list[Tensor]:
        found = []
        for frame in frames:
            height, width = frame.shape[:2]
            corner = float(frame[0, 0].float().max())
            if corner < 8:
                found.append(torch.zeros(0, 5))
                continue
            first = torch.tensor([0.1 * width, 0.1 * height, 0.9 * width, 0.9 * height, 0.9])
            second = torch.tensor([0.0, 0.0, 0.3 * width, 0.3 * height, 0.5])
            found.append(torch.stack([first, second]) if width > 2 * height else first[None])
        return found


class FakePose:
    """Joints on a spiral inside the box; scores from the frame's mean brightness."""

    name = "fake"

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}

    def estimate(self, frames: Tensor, boxes: Tensor, frame_index: Tensor) -> tuple[Tensor, Tensor]:
        t = torch.linspace(0, 1, 17)
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


def fake_extractor() -> Extractor:
    return Extractor(FakeDetector(), FakePose(), FakeDepth(), tuple(PRESETS.values()), torch.device("cpu"))
