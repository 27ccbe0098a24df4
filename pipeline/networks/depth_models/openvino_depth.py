"""Run the depth network on a CPU with OpenVINO, in about half the time of torch; extra `openvino`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ....stores.errors import InvalidValueError, MissingExtraError
from ...device.precision import Precision
from .decoder_map import on_patches

_HINTS = {"float32": "f32", "bfloat16": "bf16"}


class _Map(nn.Module):
    """Backbone and neck for one size of input, up to the one map that the head reads; `keeps_map`: and `on_patches`."""

    def __init__(self, model: Any, patches: tuple[int, int], keeps_map: bool):
        super().__init__()
        self.backbone, self.neck, self.patches = model.backbone, model.neck, patches
        self.index, self.keeps_map = model.head.head_in_index, keeps_map

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        maps = self.neck(self.backbone(inputs).feature_maps, *self.patches)
        return (maps[self.index], on_patches(maps, self.patches)) if self.keeps_map else (maps[self.index],)


class _Head(nn.Module):
    """The last layers, for one size of input."""

    def __init__(self, model: Any, patches: tuple[int, int]):
        super().__init__()
        self.head, self.patches = model.head, patches

    def forward(self, map: Tensor) -> Tensor:
        index = self.head.head_in_index
        return self.head([map] * (index + 1 if index >= 0 else -index), *self.patches)


class OpenVinoDepth:
    """A depth network of transformers' Depth Anything, compiled by OpenVINO for each size of input.

    One frame at a time: a CPU gains nothing from more, and so a frame's depth does not depend on its batch.
    Its backbone may compute in bfloat16, its last layers never do. `keeps_map`: it also gives the map of `on_patches`.
    """

    def __init__(self, model: Any, patch: int, precision: Precision, threads: int, keeps_map: bool = False):
        self._openvino = require_openvino()
        self.check(precision)
        self._model, self._patch, self._threads = model, patch, threads
        self._keeps_map = keeps_map
        self._hint = _HINTS[precision.name]
        self._parts: dict[tuple[int, int], tuple[Any, Any]] = {}

    @staticmethod
    def check(precision: Precision) -> None:
        """Raise InvalidValueError for a precision that OpenVINO does not have."""
        if precision.name not in _HINTS:
            raise InvalidValueError(
                f"--precision {precision.name} does not go with --depth-backend openvino; choose float32 or bfloat16"
            )

    @torch.inference_mode()
    def __call__(self, inputs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(B, 3, h, w) to metres (B, h, w), float32; and the map (B, C, h', w') where it is kept."""
        map, head = self._compiled(inputs)
        depth, kept = [], []
        for frame in inputs.contiguous().numpy():
            found = map(frame[None])
            # A part's output is its own memory, written over by the next frame.
            depth.append(np.array(head(found[0])[0]))
            kept += [np.array(found[1])] if self._keeps_map else []
        whole = torch.from_numpy(np.concatenate(depth))
        return (whole, torch.from_numpy(np.concatenate(kept))) if self._keeps_map else whole

    def _compiled(self, inputs: Tensor) -> tuple[Any, Any]:
        size = (inputs.shape[-2], inputs.shape[-1])
        if size not in self._parts:
            patches = size[0] // self._patch, size[1] // self._patch
            # Outside of inference mode, as what is traced has to be an ordinary tensor.
            with torch.inference_mode(False), torch.no_grad():
                sample = torch.zeros(1, 3, *size)
                map = _Map(self._model, patches, self._keeps_map).eval()
                found = map(sample)[0].contiguous()
                head = _Head(self._model, patches).eval()
                self._parts[size] = self._compile(map, sample, self._hint), self._compile(head, found, "f32")
        return self._parts[size]

    def _compile(self, part: nn.Module, sample: Tensor, hint: str) -> Any:
        with _without_telemetry():
            graph = self._openvino.convert_model(torch.export.export(part, (sample,)))
        graph.reshape(list(sample.shape))
        settings = {
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }
        return _core().compile_model(graph, "CPU", settings)


@cache
def _core() -> Any:
    """Return OpenVINO's runtime, one for as long as the process lives.

    Where the CPU has AMX, it gives the thread a stack for signal handlers, and when it is deleted it frees that stack,
    which the thread goes on using: the next signal (a child that ends, SIGTERM) would end the process.
    """
    return require_openvino().Core()


def require_openvino() -> Any:
    """Return the module `openvino`; MissingExtraError where it is not installed."""
    if find_spec("openvino") is None:
        raise MissingExtraError("--depth-backend openvino needs OpenVINO, not here: pip install 'auglift[openvino]'")
    with _without_telemetry():
        import openvino  # pyright: ignore[reportMissingImports]

        return openvino


@contextlib.contextmanager
def _without_telemetry() -> Iterator[None]:
    """OpenVINO's converter may report its use to its makers; without that module it has a mute one."""
    name = "openvino_telemetry"
    before = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
