"""Fit batches into a device's memory: try a batch that is too large in halves, and keep the size that fits."""

from __future__ import annotations


class ForwardLimit:
    """The number of frames in one forward pass: the whole batch, until the device runs out of memory.

    The plan's batch stays what it is: it decides which frames are decoded together, and it is part of the
    fingerprint. Only the forward pass is cut, which is possible because every frame is treated by itself. Sums of a
    smaller forward may be rounded differently, so a store made in parts can differ from one made whole in the last
    bits; `ShardResult.split` says where that happened, and a smaller --batch avoids it.
    """

    def __init__(self) -> None:
        self.frames: int | None = None

    def fitting(self, count: int) -> int:
        """How many of so many frames are tried at once."""
        return count if self.frames is None else min(count, self.frames)

    def did_not_fit(self, count: int) -> None:
        """So many frames, at least two, were too many."""
        self.frames = min(count // 2, self.frames or count)
