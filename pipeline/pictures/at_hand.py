"""The sources of a store's sequences, as far as they are at hand, and their frames with depth maps made again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ...stores.errors import AugliftError, MissingFileError
from ...stores.format.depth_unit import METRES, depth_unit
from ...stores.format.sequences import Sequence
from ...stores.reading.store import FeatureStore
from ..frames.sources import read
from ..networks.substitutes.simulated import SIMULATED
from .panels import DepthMap, depth_maps, find_source

_TRIES = 3  # sequences without a source, one after the other: then nobody looks for more
_BATCH = 8


def sources(store: FeatureStore, videos: Path | None) -> Callable[[Sequence], Path]:
    """Return a function that finds a sequence's video or folder of images; each is looked for once.

    videos   folder that holds the sources, or a few levels above; None: the current one
    The function raises MissingFileError where the source is not there.
    """
    found: dict[str, Path | AugliftError] = {}
    named = store.configuration.get("sequences", {})
    pose = store.configuration.get("pose")
    simulated = isinstance(pose, dict) and pose.get("name") == SIMULATED

    def look_for(sequence: Sequence) -> Path | AugliftError:
        missing = [one for one in found.values() if isinstance(one, AugliftError)]
        if len(missing) >= _TRIES and len(missing) == len(found):
            return missing[-1]
        if sequence.id not in named:
            return MissingFileError(f"the store does not say which file '{sequence.id}' was made from")
        try:
            return find_source(sequence, named[sequence.id]["digest"], videos)
        except AugliftError as error:
            return error

    def source_of(sequence: Sequence) -> Path:
        if simulated:
            raise MissingFileError("a simulated sensor has no pictures")
        if sequence.id not in found:
            found[sequence.id] = look_for(sequence)
        source = found[sequence.id]
        if isinstance(source, AugliftError):
            raise source
        return source

    return source_of


def depth_again(store: FeatureStore, weights: str | None) -> DepthMap:
    """Return what makes the store's depth maps again. MissingFileError, with the reason, where nothing can."""
    if depth_unit(store.configuration) != METRES:
        raise MissingFileError("the store's depth is relative to a person, which no map is")
    described = store.configuration.get("depth")
    if isinstance(described, dict) and described.get("name") == SIMULATED:
        raise MissingFileError("a simulated sensor has no pictures, and so no maps")
    again = depth_maps(store.configuration, weights) if isinstance(described, dict) else None
    if again is None:
        raise MissingFileError("the store was made without depth")
    return again


def frames_again(
    store: FeatureStore, videos: Path | None, depth_map: DepthMap | None
) -> Callable[[Sequence, np.ndarray], Iterator[tuple[int, np.ndarray, np.ndarray | None]]]:
    """Return a function (sequence, numbers of frames, ascending) that yields (place, RGB, depth map or None).

    Frames that cannot be read are left out. The function raises MissingFileError where the source is not there.
    """
    source_of = sources(store, videos)

    def pictures(sequence: Sequence, numbers: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray | None]]:
        source, place = source_of(sequence), 0
        for batch in read(source, numbers, _BATCH, 0):
            for number, picture, ok in zip(batch.indices.tolist(), batch.frames, batch.ok, strict=True):
                if ok:
                    yield place, picture, None if depth_map is None else depth_map(source, number, picture)
                place += 1

    return pictures
