"""Files in the layout their authors publish them in, with seeded values: names, types and shapes are the real ones'."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save_file
from torch import Tensor

T = TypeVar("T")

REPOSITORY = "depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf"

# As every Depth Anything repository has it.
PROCESSOR: dict[str, Any] = {
    "do_normalize": True,
    "do_pad": False,
    "do_rescale": True,
    "do_resize": True,
    "ensure_multiple_of": 14,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "DPTImageProcessor",
    "image_std": [0.229, 0.224, 0.225],
    "keep_aspect_ratio": True,
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 518, "width": 518},
    "size_divisor": None,
}


def published_state(described: Path, seed: int = 0) -> dict[str, Tensor]:
    """The tensors that the JSON lists, with values that carry a picture through the network.

    described  `{"tensors": {name: [type, shape]}}`, as ../shared/spec/published has it of a file of the hub
    """
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, (kind, shape) in json.loads(described.read_text())["tensors"].items():
        assert kind == "F32", name
        noise = torch.randn(shape, generator=generator)
        if ("norm" in name and name.endswith("weight")) or name.endswith("lambda1"):
            state[name] = 1 + 0.1 * noise
        elif len(shape) > 1 and name.endswith("weight"):
            state[name] = noise / (noise[0].numel() ** 0.5)
        else:
            state[name] = 0.1 * noise
    return state


_RENAMED = (
    ("attention.attention.query", "attention.q_proj"),
    ("attention.attention.key", "attention.k_proj"),
    ("attention.attention.value", "attention.v_proj"),
    ("attention.output.dense", "attention.o_proj"),
)


def old_names(state: Mapping[str, T]) -> dict[str, T]:
    """A table of tensors, or of whatever there is of each, under the names that the hub's files have."""
    return _respelled(state, [(new, old) for old, new in _RENAMED])


def new_names(state: Mapping[str, T]) -> dict[str, T]:
    """The same under transformers 5's names."""
    return _respelled(state, _RENAMED)


def _respelled(state: Mapping[str, T], pairs: Sequence[tuple[str, str]]) -> dict[str, T]:
    table = dict(state)
    for one, other in pairs:
        table = {key.replace(one, other): value for key, value in table.items()}
    return table


def write_repository(folder: Path, described: Path, state: dict[str, Tensor] | None = None) -> Path:
    """The folder, as `huggingface-cli download --local-dir` leaves it; `described` lies beside its configuration."""
    folder.mkdir(parents=True)
    save_file(published_state(described) if state is None else state, folder / "model.safetensors", {"format": "pt"})
    shutil.copyfile(described.with_suffix(".config.json"), folder / "config.json")
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return folder
