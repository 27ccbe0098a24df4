"""Small pictures of a store's frames, cut from its sources, for pages that show many."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...stores.errors import InvalidValueError, MissingExtraError
from ...stores.format.sequences import Sequence
from ...stores.reading.store import FeatureStore
from ..frames.sources import read
from .at_hand import sources

View = tuple[float, float, float, float]  # left, top, right, bottom, px of the frame
QUALITY = 82


def thumbnails(store: FeatureStore, videos: Path | None, side: int) -> Callable[[Sequence, int, View], bytes]:
    """Return a function (sequence, number of a frame in its source, view) that gives a JPEG of side x side px.

    videos   folder that holds the sources, or a few levels above; None: the current one
    The function raises MissingFileError where the source is not there, InvalidValueError for a frame that cannot be
    read. What a view has beyond the frame's edge is grey. MissingExtraError without Pillow.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("pictures need Pillow: pip install 'auglift[prep]'") from error
    source_of = sources(store, videos)

    def thumbnail(sequence: Sequence, number: int, view: View) -> bytes:
        source = source_of(sequence)
        (batch,) = read(source, [number], 1, 0)
        if not batch.ok[0]:
            raise InvalidValueError(f"frame {number} of {source.name} cannot be read ({batch.reasons[0]})")
        picture = Image.fromarray(_cut(batch.frames[0], view)).resize((side, side), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=QUALITY, optimize=True)
        return out.getvalue()

    return thumbnail


def _cut(frame: np.ndarray, view: View) -> np.ndarray:
    """The pixels (H, W, 3) inside a view; grey where the frame ends. A view of any size gives at most 2,048 px."""
    left, top, right, bottom = view
    step = max(1, int((right - left) // 2048))
    xs, ys = np.arange(round(left), round(right), step), np.arange(round(top), round(bottom), step)
    height, width = frame.shape[:2]
    out = frame[np.clip(ys, 0, height - 1)[:, None], np.clip(xs, 0, width - 1)]
    out[(ys < 0) | (ys >= height)] = 128
    out[:, (xs < 0) | (xs >= width)] = 128
    return out
