"""Exact percentiles of bilinearly sampled depth in disks about points: every pixel of the disk, no full-size map.

On a CPU a compiled loop goes from disk to disk (`disks_host.py`); elsewhere torch treats many at once
(`disks_device.py`). Both give the same bits: each result depends on its own disk and map alone, every floating
point operation is elementwise and rounds once, and choosing an order statistic rounds nothing.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..device.tables import kept_on_device
from .disks import Disks, Queries, as_array


def disk_percentiles(maps: Tensor, disks: Disks, frame_size: tuple[int, int], queries: Queries) -> list[Tensor]:
    """Statistics of depth over the pixels of each disk that lie in the frame and have a depth.

    maps         (B, h, w)  metres, at their own resolution; not finite where there is no depth
    frame_size   (W, H)     px; the depth at a pixel is what bilinear upsampling to it with align_corners=True would
                            give, and there is none where a cell that has any weight in it is not finite
    Returns, where the maps are, for each of `queries.results` (B, J, its columns) float32; NaN, of one bit pattern,
    where a disk holds no depth at all, where the own pixel has none, and for positions that no query wants.
    """
    # Each brings a compiler or kernels of its own; no process needs both.
    if maps.is_cpu:
        from .disks_host import percentiles_on_host

        statistics = percentiles_on_host(as_array(maps, np.float32), disks, frame_size, queries)
        return [torch.from_numpy(statistics[disk].take(columns, axis=-1)) for disk, columns in queries.results]
    from .disks_device import percentiles_on_device

    statistics = percentiles_on_device(maps.detach().to(torch.float32).contiguous(), disks, frame_size, queries)
    return [
        statistics[disk].index_select(-1, _columns(tuple(c.tolist()), device=maps.device)[0])
        for disk, c in queries.results
    ]


@kept_on_device
def _columns(columns: tuple[int, ...]) -> tuple[Tensor, ...]:
    return (torch.tensor(columns, dtype=torch.int64),)
