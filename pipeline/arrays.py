"""What NumPy and torch call differently, so that one algorithm is written once and runs with either.

On a CPU the UADD kernel works with NumPy: its vectorised sort is some ten times as fast as torch's there, and a small
operation costs a third. Elsewhere it works with torch. What both spell alike (arithmetic, indexing, reshape, swapaxes,
floor, where, stack, ...) is used directly or through `module`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = Any  # of whichever library


@dataclass(frozen=True)
class Library:
    """One of the two."""

    module: ModuleType
    host: Callable[[np.ndarray], Array]  # brings a host array to where the values are
    arange: Callable[[int], Array]
    integer: Callable[[Array], Array]  # to int64
    single: Callable[[Array], Array]  # to float32
    clip: Callable[[Array, float, float], Array]
    take: Callable[[Array, Array], Array]  # rows of the first axis
    sort: Callable[[Array], Array]  # each row ascending; may do it in place
    finite: Callable[[Array], Array]  # how many in each sorted row are finite, infinity being last
    first: Callable[[Array], Array]  # where the first True of each row is

    @property
    def on_host(self) -> bool:
        """Whether looking at a value is free; a GPU would have to be waited for."""
        return self.module is np


NUMPY = Library(
    np,
    host=lambda array: array,
    arange=np.arange,
    integer=lambda values: values.astype(np.int64),
    single=lambda values: values.astype(np.float32),
    clip=lambda values, least, most: np.minimum(np.maximum(values, least), most),
    take=lambda values, index: values.take(index, axis=0),
    sort=lambda values: (values.sort(axis=1), values)[1],
    finite=lambda rows: np.array([row.searchsorted(math.inf) for row in rows]),
    first=lambda flags: flags.argmax(axis=1),
)


def torch_library(device: torch.device) -> Library:
    """Torch on that device."""
    return Library(
        torch,
        host=lambda array: torch.from_numpy(array).to(device),
        arange=lambda count: torch.arange(count, device=device),
        integer=lambda values: values.to(torch.int64),
        single=lambda values: values.to(torch.float32),
        clip=lambda values, least, most: values.clamp(least, most),
        take=lambda values, index: values.index_select(0, index.reshape(-1)).view(*index.shape, *values.shape[1:]),
        sort=lambda values: values.sort(dim=1).values,
        finite=lambda rows: torch.searchsorted(rows, torch.full((len(rows), 1), math.inf, device=device)).view(-1),
        first=lambda flags: flags.to(torch.uint8).argmax(dim=1),
    )


def library_for(device: torch.device) -> Library:
    """The faster one there."""
    return NUMPY if device.type == "cpu" else torch_library(device)


def array(library: Library, tensor: Tensor) -> Array:
    """A tensor as float32, contiguous, in the library's own terms; not copied where it is so already."""
    tensor = tensor.detach().to(torch.float32).contiguous()
    return tensor.numpy() if library.on_host else tensor
