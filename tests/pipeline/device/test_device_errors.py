"""device_errors.py: full memory in all its error messages, and errors that take the GPU from the process."""

from __future__ import annotations

import pytest
import torch

from auglift.pipeline.device.device_errors import is_device_lost, is_out_of_memory
from auglift.stores.errors import InvalidValueError

# As torch 2.x, cuBLAS and cuDNN write them.
FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB"),
    RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a large input."),
    RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:114] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    MemoryError("Unable to allocate 3.1 GiB for an array"),
]
LOST = [
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("CUDA error: unspecified launch failure"),
    RuntimeError("CUDA error: uncorrectable ECC error encountered"),
    RuntimeError("CUDA driver error: unknown error"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx(...)`"),
    torch.AcceleratorError("CUDA error: misaligned address"),
]
NEITHER = [
    RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
    ValueError("the file cuda_out of memory.mp4"),
    InvalidValueError("clip 'CUDA error.mp4' has no frames"),
    KeyError("CUDA error"),
]


@pytest.mark.parametrize("error", FULL, ids=str)
def test_a_full_memory_is_not_a_lost_gpu(error):
    assert is_out_of_memory(error)
    assert not is_device_lost(error)


@pytest.mark.parametrize("error", LOST, ids=str)
def test_a_lost_gpu_is_not_a_full_memory(error):
    assert is_device_lost(error)
    assert not is_out_of_memory(error)


@pytest.mark.parametrize("error", NEITHER, ids=str)
def test_what_only_names_them_is_neither(error):
    assert not is_device_lost(error)
    assert not is_out_of_memory(error)


def test_what_a_compiler_wraps_is_seen():
    outer = RuntimeError("backend failed")
    outer.__cause__ = FULL[0]
    assert is_out_of_memory(outer)
    outer.__cause__ = LOST[0]
    assert is_device_lost(outer)
