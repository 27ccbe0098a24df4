"""The precision of the networks: chosen here and stated in the store, not left to torch's defaults."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...stores.errors import InvalidValueError

CHOICES = ("auto", "float32", "tf32", "float16", "bfloat16")
_HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
_WEIGHTED = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


@dataclass(frozen=True)
class Precision:
    """What the networks compute in.

    name   float32: as it is written
           tf32: float32, whose factors a GPU rounds to ten bits of mantissa before it multiplies them
           float16, bfloat16: matrix products and convolutions in half precision, all sums in float32; the last layers,
           which say how deep and where, in float32 (on a GPU, tf32)
    """

    name: str = "float32"

    @property
    def half(self) -> torch.dtype | None:
        """Return the type of 16 bits, if one is used."""
        return _HALVES.get(self.name)

    def apply(self) -> None:
        """Set what torch has for the whole process."""
        torch.backends.cuda.matmul.allow_tf32 = self.name != "float32"
        torch.backends.cudnn.allow_tf32 = self.name != "float32"

    def context(self, device: torch.device) -> AbstractContextManager[Any]:
        """Compute products in this precision inside the block."""
        if self.half is None:
            return contextlib.nullcontext()
        return torch.autocast(device.type, self.half)

    def prepare(self, network: nn.Module) -> None:
        """Round the weights of products once, which autocast would do anew for every batch; not `InFloat32`'s."""
        if self.half is None:
            return
        exact = {layer for part in network.modules() if isinstance(part, InFloat32) for layer in part.modules()}
        for layer in network.modules():
            if isinstance(layer, _WEIGHTED) and layer not in exact:
                layer.to(self.half)

    def describe(self) -> dict[str, str]:
        """Return plain data for a store's fingerprint; nothing for float32, the default."""
        return {} if self.name == "float32" else {"precision": self.name}


def choose_precision(name: str, device: torch.device) -> Precision:
    """Choose a precision; `auto`: float16 on a GPU, else float32. InvalidValueError where the device lacks it."""
    if name not in CHOICES:
        raise InvalidValueError(f"--precision '{name}' is none of {', '.join(CHOICES)}")
    gpu = device.type == "cuda"
    if name == "auto":
        return Precision("float16" if gpu else "float32")
    if name == "tf32" and not gpu:
        raise InvalidValueError("--precision tf32 is a way in which GPUs multiply; on a CPU choose float32 or bfloat16")
    if name == "bfloat16" and gpu and not torch.cuda.is_bf16_supported():
        raise InvalidValueError("--precision bfloat16: this GPU does not have it; choose float16 or float32")
    return Precision(name)


class InFloat32(nn.Module):
    """A layer that computes in float32 whatever is around it."""

    def __init__(self, layer: nn.Module, device: torch.device):
        super().__init__()
        self.layer = layer.float()
        self._kind = device.type

    def forward(self, inputs: Tensor) -> Tensor:
        with torch.autocast(self._kind, enabled=False):
            return self.layer(inputs.float())


def exact_layers(parent: nn.Module, names: Iterable[str], device: torch.device) -> None:
    """Let these layers of `parent`, or all in these lists of it, compute in float32."""
    for name in names:
        part = getattr(parent, name, None)
        if isinstance(part, nn.ModuleList):
            exact_layers(part, [str(n) for n in range(len(part))], device)
        elif isinstance(part, nn.Module):
            setattr(parent, name, InFloat32(part, device))


def fold_norms(network: nn.Module) -> None:
    """Take the batch normalisations of OpenMMLab's layers into the convolutions before them: half as many kernels.

    Sums are rounded otherwise, so this is for GPUs, whose results are compared by error and not bit by bit.
    """
    for layer in network.modules():
        if not getattr(layer, "with_norm", False) or tuple(getattr(layer, "order", ()))[:2] != ("conv", "norm"):
            continue
        if isinstance(layer.norm, nn.BatchNorm2d) and isinstance(layer.conv, nn.Conv2d):
            # A new convolution: RTMDet's levels share one, and each has a normalisation of its own.
            layer.conv = nn.utils.fusion.fuse_conv_bn_eval(layer.conv, layer.norm).requires_grad_(False)
            setattr(layer, str(layer.norm_name), nn.Identity())
