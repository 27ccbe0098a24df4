"""Find black bars about a picture: a converter kept a picture's shape, and filled the rest of the frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..frames.sources import SourceInfo, read

# Encoders leave a few grey levels in what was black.
BLACK = 16
# Frames that are looked at, spread over the video: a bar is black in all of them.
LOOKED_AT = 5


@dataclass(frozen=True)
class Bars:
    """px of black on each side of the frame."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def __bool__(self) -> bool:
        return any((self.left, self.top, self.right, self.bottom))


def black_bars(info: SourceInfo) -> Bars:
    """Measure the bars of a video; none where whole frames are dark, so that nothing can be seen.

    Lines whose mean is below `BLACK` in each of a few frames count, from each edge inwards.
    """
    numbers = np.unique(np.linspace(0, info.frame_count - 1, LOOKED_AT).astype(np.int64))
    brightest = [np.zeros(info.height), np.zeros(info.width)]
    seen = False
    for batch in read(Path(info.path), numbers, 1, 1):
        if not batch.ok[0]:
            continue
        seen = True
        grey = batch.frames[0].mean(axis=-1)
        brightest = [np.maximum(brightest[0], grey.mean(axis=1)), np.maximum(brightest[1], grey.mean(axis=0))]
    rows, columns = (np.flatnonzero(line >= BLACK) for line in brightest)
    if not seen or not len(rows) or not len(columns):
        return Bars()
    return Bars(int(columns[0]), int(rows[0]), info.width - 1 - int(columns[-1]), info.height - 1 - int(rows[-1]))
