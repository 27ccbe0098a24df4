"""Copy between host and GPU without waiting until the values are needed, and measure the time of stages.

On a CPU the same calls copy nothing and are done at once, so that there is one way through the code.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor


def page_locked(array: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """Return the array in memory that a GPU reads without the host's help; as it is where the device is a CPU."""
    tensor = torch.from_numpy(np.ascontiguousarray(array)) if isinstance(array, np.ndarray) else array
    if device.type != "cuda" or tensor.is_pinned():
        return tensor
    return tensor.pin_memory()


def upload(array: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """Copy the array to the device, for what is computed there next; the host goes on at once."""
    if device.type != "cuda":
        return page_locked(array, device).to(device)
    return page_locked(array, device).to(device, non_blocking=True)


@dataclass
class Arriving:
    """A copy on its way to the host."""

    _values: Tensor
    _event: Any

    def wait(self) -> np.ndarray:
        """Wait for the values, and return them."""
        if self._event is not None:
            self._event.synchronize()
            self._event = None
        return self._values.numpy()


def download(tensor: Tensor) -> Arriving:
    """Begin to copy a tensor to the host, behind what its device was given so far."""
    if tensor.is_cpu:
        return Arriving(tensor, None)
    values = tensor.to("cpu", non_blocking=True)
    return Arriving(values, torch.cuda.current_stream(tensor.device).record_event())


class Uplink:
    """A stream of its own for frames that go to a GPU while it computes."""

    def __init__(self, device: torch.device):
        self.device = device
        self._stream: Any = torch.cuda.Stream(device) if device.type == "cuda" else None

    def send(self, array: np.ndarray | Tensor) -> Tensor:
        """Send the array to the device; what is computed there from now on waits for it, the host does not."""
        if self._stream is None:
            return upload(array, self.device)
        locked = page_locked(array, self.device)
        with torch.cuda.stream(self._stream):
            there = locked.to(self.device, non_blocking=True)
        computing = torch.cuda.current_stream(self.device)
        computing.wait_stream(self._stream)
        there.record_stream(computing)  # it came from the other stream's memory
        return there


STAGES = ("decode", "detect", "pose", "depth", "uadd", "write", "wait")


@dataclass
class StageTimes:
    """Seconds spent in each stage.

    On a GPU a stage lasts from the event before its kernels to the one behind them; nobody waits for it, and `settle`
    adds it when it is over.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    _marks: list[tuple[str, Any, Any]] = field(default_factory=list, init=False, repr=False)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time that the device needs for the block to a stage."""
        if self.device.type != "cuda":
            with self.on_host(name):
                yield
            return
        stream = torch.cuda.current_stream(self.device)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record(stream)
        yield
        end.record(stream)
        self._marks.append((name, begin, end))

    @contextmanager
    def on_host(self, name: str) -> Iterator[None]:
        """Add the time that the host needs for the block to a stage."""
        begin = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - begin

    def settle(self) -> None:
        """Wait for the last stage that was begun, and count all."""
        if self._marks:
            self._marks[-1][2].synchronize()
        for name, begin, end in self._marks:
            self.seconds[name] += begin.elapsed_time(end) / 1000
        self._marks.clear()
