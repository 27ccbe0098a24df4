"""Fit batches into a GPU's memory: extract a batch that is too large in halves, and keep the size that fits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from ..extract import Extractor, StageTimes


class ForwardLimit:
    """The number of frames in one forward pass: the whole batch, until the device runs out of memory.

    The plan's batch stays what it is: it decides which frames are decoded together, and it is part of the
    fingerprint. Only the forward pass is cut, which is possible because every frame is treated by itself. Sums of a
    smaller forward may be rounded differently, so a store made in parts can differ from one made whole in the last
    bits; `ShardResult.split` says where that happened, and a smaller --batch avoids it.
    """

    def __init__(self) -> None:
        self.frames: int | None = None

    def extract(
        self,
        extractor: Extractor,
        frames: np.ndarray,
        readable: np.ndarray,
        truth: Mapping[str, np.ndarray] | None,
        times: StageTimes,
    ) -> dict[str, np.ndarray]:
        """`Extractor.extract`, in parts where the whole does not fit. OutOfMemoryError where no frame does."""
        while True:
            size = min(self.frames or len(frames), len(frames))
            try:
                parts = [
                    extractor.extract(
                        frames[start : start + size],
                        readable[start : start + size],
                        {name: values[start : start + size] for name, values in (truth or {}).items()},
                        times,
                    )
                    for start in range(0, len(frames), size)
                ]
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
            else:
                return parts[0] if len(parts) == 1 else _joined(parts)
            # Here the exception is gone, and with it the frames of the stack that held the device's memory.
            self.frames = size // 2
            if extractor.device.type == "cuda":
                torch.cuda.empty_cache()


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
