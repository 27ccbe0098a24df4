"""Patches of torch so that tensors may say `cuda` where it was built for CPUs."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

_CUDA, _META = 1, 14  # c10::DeviceType


@contextlib.contextmanager
def torch_for_pretending() -> Iterator[None]:
    """All of it, undone at the end."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_device_guard())
        swap = torch.__future__.get_swap_module_params_on_conversion()
        torch.__future__.set_swap_module_params_on_conversion(True)  # network.to(...): tensors of another class
        stack.callback(torch.__future__.set_swap_module_params_on_conversion, swap)
        before = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=): made here, then copied, as on a GPU
        stack.callback(torch._C._set_only_lift_cpu_tensors, before)
        stack.enter_context(mock.patch.object(Tensor, "new_tensor", _new_tensor))  # would forget the copy
        yield


@contextlib.contextmanager
def _device_guard() -> Iterator[None]:
    """torch built for CPUs cannot choose a CUDA device, not even in name: it is lent that of `meta`, a no-op."""
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libc10.so"))
    guards = (ctypes.c_void_p * (_META + 1)).in_dll(library, "_ZN3c104impl26device_guard_impl_registryE")
    before = guards[_CUDA]
    guards[_CUDA] = before or guards[_META]
    try:
        yield
    finally:
        guards[_CUDA] = before


def _new_tensor(self: Tensor, data: Any, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
    return torch.tensor(data, dtype=dtype or self.dtype, device=device or self.device)
