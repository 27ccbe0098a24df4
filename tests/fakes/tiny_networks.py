"""The three shipped networks as an extractor whose detector finds somebody in any picture, and such pictures."""

from __future__ import annotations

import numpy as np
import torch

from auglift.pipeline.device.precision import Precision
from auglift.pipeline.extract import Extractor
from auglift.pipeline.networks.depth import build_depth
from auglift.pipeline.networks.detect import build_detector
from auglift.pipeline.networks.pose import build_pose
from auglift.pipeline.uadd.descriptor import PRESETS


def tiny_extractor(device: str, precision: str = "float32") -> Extractor:
    """`float32`: the networks as they are built."""
    networks = (
        build_detector("tiny", device=device, score_threshold=1e-4),
        build_pose("tiny", device=device),
        build_depth("tiny", device=device),
    )
    if precision != "float32":
        for network in networks:
            network.compute_in(Precision(precision))  # type: ignore[union-attr]
    return Extractor(*networks, tuple(PRESETS.values()), torch.device(device), max_people=2)


def blocks(count: int, height: int = 120, width: int = 160) -> np.ndarray:
    """(count, height, width, 3) uint8: squares of random colours."""
    coarse = np.random.default_rng(count).integers(0, 256, (count, height // 8, width // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)
