"""Which of a DPT decoder's maps learned features are sampled from."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def on_patches(maps: Sequence[Tensor], patches: tuple[int, int]) -> Tensor:
    """Return the map (B, C, h, w) that has a cell a patch of the network's input, the first where several have.

    The published networks' first: 37 x 37 of a square of 518 px (AugLiftV2). Later ones are finer, for the head.
    """
    return next((each for each in maps if tuple(each.shape[-2:]) == patches), maps[0])
