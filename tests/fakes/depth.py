"""A depth model of a few thousand weights in a folder, as transformers saves them: real, and quick on any machine."""

from __future__ import annotations

from pathlib import Path

import transformers
from transformers import DPTConfig, DPTForDepthEstimation

from auglift.pipeline.networks.weights.load import seeded

# Since version 5 the processor that needs no torchvision has a name of its own.
_PROCESSOR = getattr(transformers, "DPTImageProcessorPil", None) or transformers.DPTImageProcessor


def write_tiny_depth(folder: Path) -> Path:
    """The folder, holding a DPT of 64 x 64 pixels with seeded random weights and its processor."""
    config = DPTConfig(  # pyright: ignore[reportCallIssue]
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=64,
        patch_size=16,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 16, 24, 32],
        fusion_hidden_size=16,
    )
    with seeded(0):
        DPTForDepthEstimation(config).save_pretrained(folder)
    _PROCESSOR(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder
