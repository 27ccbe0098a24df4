"""Classify errors of a device: its memory is full, which smaller batches mend, or the GPU is lost to this process.

Nothing here imports torch: a worker that cannot must still be able to say what happened.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# The allocator of torch says OutOfMemoryError. Libraries that allocate for themselves say it in their own words, or
# that they could not be set up at all; cuDNN calls a batch that is too large for it not supported.
_FULL = re.compile(
    r"out of memory"
    r"|can't allocate memory"
    r"|(?:failed|unable) to allocate"
    r"|ALLOC(?:ATION)?_FAILED"
    r"|CUBLAS_STATUS_NOT_INITIALIZED|CUDNN_STATUS_NOT_INITIALIZED"
    r"|CUDNN_STATUS_NOT_SUPPORTED"
    r"|Unable to find a valid cuDNN algorithm",
    re.IGNORECASE,
)
# After one of these the process's CUDA context is dead, or the GPU itself, and every further call fails.
_LOST = re.compile(
    r"CUDA (?:driver )?error"
    r"|device-side assert"
    r"|(?:CUDNN|CUBLAS|CUSOLVER)_STATUS_(?:EXECUTION|MAPPING)"
    r"|CUBLAS_STATUS_INTERNAL_ERROR"
    r"|unspecified launch failure|illegal memory access|illegal instruction|misaligned address"
    r"|uncorrectable ECC|NVML_ERROR|GPU is lost|fallen off the bus",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a smaller batch may work where this happened; of a GPU's memory or the host's."""
    return any(
        isinstance(each, MemoryError) or _is_called(each, "OutOfMemoryError") or _says(each, _FULL)
        for each in _chain(error)
    )


def is_device_lost(error: BaseException) -> bool:
    """Return whether this process cannot use its GPU any more, whatever it tries next."""
    if is_out_of_memory(error):
        return False
    return any(_is_called(each, "AcceleratorError") or _says(each, _LOST) for each in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised from: compilers wrap what happens in their code."""
    while error is not None:
        yield error
        error = error.__cause__


def _is_called(error: BaseException, name: str) -> bool:
    return any(kind.__name__ == name and kind.__module__.startswith("torch") for kind in type(error).__mro__)


def _says(error: BaseException, what: re.Pattern[str]) -> bool:
    """Only what comes from below: an error of ours, or of a file's, may name anything."""
    return isinstance(error, RuntimeError) and what.search(str(error)) is not None
