"""`mmpose.apis`, MMPose's own inference, where torchvision is not installed."""

from __future__ import annotations

import sys
import types
from typing import Any

from auglift.pipeline.networks import openmmlab


def mmpose_apis() -> Any:
    """The module; it imports a drawing helper from torchvision, which stands there for as long as that takes."""
    openmmlab.load("mmdet.models")
    openmmlab.load("mmpose.models")
    names = ("torchvision", "torchvision.transforms")
    if "mmpose.apis" not in sys.modules:
        drawing = types.ModuleType(names[1])
        vars(drawing)["ToPILImage"] = None
        sys.modules.update(zip(names, (types.ModuleType(names[0]), drawing), strict=True))
    try:
        return openmmlab.load("mmpose.apis")
    finally:
        for name in names:
            sys.modules.pop(name, None)
