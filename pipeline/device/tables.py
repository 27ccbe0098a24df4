"""Tables that depend on sizes alone, such as which pixels a resized pixel lies between: kept on the device.

To make one anew for every batch would cost a copy each, and a copy from ordinary memory makes the host wait for all
that the GPU was given before.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache, wraps
from typing import Any

import torch
from torch import Tensor

_caches: list[Any] = []


def kept_on_device(build: Callable[..., tuple[Tensor, ...]], kept: int = 64) -> Callable[..., tuple[Tensor, ...]]:
    """Let `build(*sizes)`, which makes tables on the host, be called as `build(*sizes, device=...)`; each once.

    kept   how many are kept; videos of more sizes in turn make some anew
    The tables are shared: nobody may write to them.
    """

    @lru_cache(maxsize=kept)
    def tables(device: torch.device, sizes: tuple[Hashable, ...]) -> tuple[Tensor, ...]:
        with torch.inference_mode(False):  # a later caller may need gradients beside them
            return tuple(table.to(device) for table in build(*sizes))

    @wraps(build)
    def found(*sizes: Hashable, device: torch.device) -> tuple[Tensor, ...]:
        return tables(device, sizes)

    _caches.append(tables)
    return found


def forget() -> None:
    """Drop all tables, and with them the device memory that they take."""
    for cache in _caches:
        cache.cache_clear()
