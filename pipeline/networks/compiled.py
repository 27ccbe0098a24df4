"""Compile networks with torch: for few shapes, as each costs up to minutes, and only where it works.

A batch of fewer frames than a compiled size is filled up, and what came of the filling is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ...stores.errors import InvalidValueError

CHOICES = ("auto", "on", "off")
# A job of fewer frames is done before the compiler has earned its minutes.
FRAMES_WORTH_COMPILING = 20_000
# Shapes that are compiled before torch gives up and computes them as they are, which would change results unsaid.
SHAPES = 512
# How far the compiled network may be from the plain one, as a share of the largest value, to be taken.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 1e-1}


def wants_compiler(choice: str, device: torch.device, frames: int | None) -> bool:
    """Return whether to compile for a job of so many frames (None: not known). `auto`: a large one, on a GPU.

    InvalidValueError for another word.
    """
    if choice not in CHOICES:
        raise InvalidValueError(f"--compile '{choice}' is none of {', '.join(CHOICES)}")
    if choice != "auto":
        return choice == "on"
    large = frames is not None and frames >= FRAMES_WORTH_COMPILING
    return device.type == "cuda" and large and find_spec("triton") is not None


def sizes_for(most: int) -> list[int]:
    """Return the batch sizes that are compiled, ascending: `most`, half of it, and so on to 1."""
    sizes = [most]
    while sizes[-1] > 1:
        sizes.append((sizes[-1] + 1) // 2)
    return sizes[::-1]


class Compiled:
    """A function of one batch, compiled; more than `most` rows at once go through it in turn.

    compiler   makes a function of fixed shapes faster; torch.compile, but for tests
    """

    def __init__(self, function: Callable[[Tensor], Any], most: int, compiler: Callable[..., Any] | None = None):
        self._sizes = sizes_for(most)
        self._function = (compiler or _torch_compile)(function)

    def __call__(self, inputs: Tensor) -> Any:
        count = len(inputs)
        size = next((size for size in self._sizes if size >= count), None)
        if size is None:
            parts = [self(part) for part in inputs.split(self._sizes[-1])]
            return tree_map(lambda *rows: torch.cat(rows), *parts)
        if size == count:
            return self._function(inputs)
        filled = torch.cat([inputs, inputs[-1:].expand(size - count, *inputs.shape[1:])])
        if inputs.dim() == 4 and inputs.is_contiguous(memory_format=torch.channels_last):
            filled = filled.contiguous(memory_format=torch.channels_last)
        return tree_map(lambda rows: rows[:count], self._function(filled))


def _torch_compile(function: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    from torch import _dynamo

    limit = "recompile_limit" if hasattr(_dynamo.config, "recompile_limit") else "cache_size_limit"
    setattr(_dynamo.config, limit, max(SHAPES, getattr(_dynamo.config, limit)))
    return torch.compile(function, dynamic=False)


def works(compiled: Callable[[Tensor], Any], plain: Callable[[Tensor], Any], sample: Tensor, kind: torch.dtype) -> str:
    """Return why the compiled network cannot be used; empty where its results are those of the plain one.

    sample   (B, 3, h, w)  an input of the size that is to come
    kind     what products are computed in
    """
    try:
        found, expected = compiled(sample), plain(sample)
    except Exception as error:  # the compiler raises whatever its parts do
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    pairs = zip(_leaves(found), _leaves(expected), strict=True)
    apart = max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-6)) for a, b in pairs)
    return "" if apart <= TOLERANCE[kind] else f"its results are {apart:.1e} of the largest value off"


def _leaves(outputs: Any) -> list[Tensor]:
    if isinstance(outputs, Tensor):
        return [outputs.float()]
    return [leaf for each in outputs for leaf in _leaves(each)]
