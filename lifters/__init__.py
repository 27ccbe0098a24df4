"""From features to 3D: inputs, models, training, evaluation.

The names below are the public ones. Everything else may move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..stores.surface import lazy

if TYPE_CHECKING:
    from .data.dataset import WindowDataset
    from .evaluation.evaluate import evaluate
    from .inputs import Inputs, targets
    from .models import build
    from .sweeps.comparison import compare
    from .training.checkpoint import Run
    from .training.setup import Setup
    from .training.train import train
    from .widening.widen import widen, widen_state_dict

__all__ = [
    "Inputs",
    "Run",
    "Setup",
    "WindowDataset",
    "build",
    "compare",
    "evaluate",
    "targets",
    "train",
    "widen",
    "widen_state_dict",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "Inputs": ".inputs",
        "Run": ".training.checkpoint",
        "Setup": ".training.setup",
        "WindowDataset": ".data.dataset",
        "build": ".models",
        "compare": ".sweeps.comparison",
        "evaluate": ".evaluation.evaluate",
        "targets": ".inputs",
        "train": ".training.train",
        "widen": ".widening.widen",
        "widen_state_dict": ".widening.widen",
    },
)
