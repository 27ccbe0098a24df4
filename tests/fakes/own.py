"""Lifters as users write them: the source of small ones, and what is wrong with others."""

from __future__ import annotations

from pathlib import Path

TOY = """
from torch import nn


class Toy(nn.Module):
    def __init__(self, channels, window, joints=17, width=8):
        super().__init__()
        self.expand = nn.Linear(window * joints * channels, width)
        self.head = nn.Linear(width, 3 * joints)

    def forward(self, inputs):
        return self.head(self.expand(inputs.flatten(1)).relu()).view(len(inputs), 1, -1, 3)
"""

# It returns (B, T, J, 3), its first layer sees a joint at a time, and part of it lies in a file beside it.
PARTS = """
from torch import nn


def first_layer(channels, width):
    return nn.Linear(channels, width)
"""
EVERY_FRAME = """
import torch
from parts import first_layer
from torch import nn


class EveryFrame(nn.Module):
    def __init__(self, channels, window, joints=17, width=8):
        super().__init__()
        self.embed = first_layer(channels, width)
        self.position = nn.Parameter(torch.zeros(1, window, joints, width))
        self.head = nn.Linear(width, 3)

    def forward(self, inputs):
        return self.head((self.embed(inputs) + self.position).relu())
"""

# A lifter of auglift's own, under another name.
TWIN = """
from auglift.lifters.models.simple_baseline import SimpleBaseline


class Twin(SimpleBaseline):
    pass
"""


def write(folder: Path, name: str = "toy.py", source: str = TOY, toml: str = "") -> str:
    """The file, and the settings beside it; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(source)
    if toml:
        path.with_suffix(".toml").write_text(toml)
    return str(path)


def toy_with(line: str, of: str = TOY) -> str:
    """The toy, its last line another."""
    head, _, _ = of.rstrip().rpartition("\n")
    return f"{head}\n        {line}\n"
