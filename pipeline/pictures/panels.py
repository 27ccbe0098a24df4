"""Collects frames of a store for a picture: the video's pixels, the depth map, the store's values of the joints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...stores.errors import InvalidValueError, MissingFileError
from ...stores.format.depth_unit import METRES, depth_unit
from ...stores.format.sequences import Sequence as SequenceRow
from ...stores.format.skeleton import H36M_17
from ...stores.reading.store import FeatureStore
from ..frames.names import on_disk
from ..frames.sources import probe, read
from ..networks.depth import build_depth, size_in
from ..networks.substitutes.ground_truth import GROUND_TRUTH
from ..networks.substitutes.no_depth import is_none

# A source lies at most so many levels below the folder that the user names: a cache has folders in folders.
LEVELS = 4

DepthMap = Callable[[Path, int, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Panel:
    """One frame with all that a picture shows of it.

    image      (H, W, 3) uint8 RGB; depth (h, w) metres, of the same view, or None
    keypoints  (17, 2) px; score (17,)
    radius     (17,) px, and stats (17, 3) metres: d, d_min, d_max; of a store without depth NaN and None
    bbox       (4,) px; depth_of_joints (17,) metres, the truth, or None
    unit       of the statistics; relative ones are on a scale that neither the map nor the truth is on: both are None
    """

    title: str
    image: np.ndarray
    depth: np.ndarray | None
    keypoints: np.ndarray
    score: np.ndarray
    radius: np.ndarray
    stats: np.ndarray | None
    bbox: np.ndarray
    depth_of_joints: np.ndarray | None
    unit: str = METRES


def choose_frames(store: FeatureStore, count: int) -> list[int]:
    """Choose `count` frames with a person, spread evenly over the store. InvalidValueError if there is none."""
    valid = np.flatnonzero(store.read("valid"))
    if not len(valid):
        raise InvalidValueError(f"{store.url} has no frame in which a person was found: there is nothing to draw")
    # Not the middle of each part: if all clips are equally long, it may be where a clip begins.
    places = (np.arange(min(count, len(valid))) + 0.618) * len(valid) / min(count, len(valid))
    return valid[places.astype(int)].tolist()


def panels(
    store: FeatureStore, frames: Sequence[int], videos: Path | None, depth_map: DepthMap | None, preset: str = "paper"
) -> list[Panel]:
    """Read frames, by their index in the store; their pixels come from videos below the folder `videos`.

    Raises MissingFileError if a video is not there, InvalidValueError for a frame that is not in the store or has no
    person, MissingFieldError if the store has descriptors, but none of that preset with three statistics.
    """
    if not any(name.startswith("uadd/") for name in store.fields):
        return [_panel(store, frame, videos, depth_map, None) for frame in frames]
    store.require([f"uadd/{preset}", f"radius/{preset}"])
    if store.fields[f"uadd/{preset}"].shape[-1] < 3:
        raise InvalidValueError(f"the descriptor '{preset}' has no minimum and maximum to draw; choose another")
    return [_panel(store, frame, videos, depth_map, preset) for frame in frames]


def _panel(
    store: FeatureStore, frame: int, videos: Path | None, depth_map: DepthMap | None, preset: str | None
) -> Panel:
    if not 0 <= frame < store.frames:
        raise InvalidValueError(f"frame {frame} of {store.url}, which has frames 0 to {store.frames - 1}")

    def value(field: str) -> np.ndarray:
        return store.read(field, frame, frame + 1)[0]

    if not value("valid"):
        raise InvalidValueError(f"no person was found in frame {frame} of {store.url}; choose another")
    row = next(row for row in store.sequences if row.start <= frame < row.stop)
    number = int(value("source_frame"))
    digest = store.configuration["sequences"][row.id]["digest"]
    source = find_source(row, digest, videos)
    (batch,) = read(source, [number], 1, 0)
    if not batch.ok[0]:
        raise InvalidValueError(f"frame {number} of {source} cannot be read ({batch.reasons[0]}); choose another")
    image = batch.frames[0]
    unit = depth_unit(store.configuration)
    known = "target/pose3d" in store.attributes["fields"] and unit == METRES
    return Panel(
        title=f"{row.dataset}: {row.action or row.id}, frame {number}",
        image=image,
        depth=None if depth_map is None or unit != METRES else depth_map(source, number, image),
        keypoints=value("keypoints"),
        score=value("score"),
        radius=np.full(len(H36M_17), np.nan) if preset is None else value(f"radius/{preset}"),
        stats=None if preset is None else value(f"uadd/{preset}")[:, :3],
        bbox=value("bbox")[:4],
        depth_of_joints=value("target/pose3d")[:, 2] if known else None,
        unit=unit,
    )


def find_source(row: SequenceRow, digest: str, videos: Path | None) -> Path:
    """Find the video or image folder of a sequence, by name and digest, in a folder or a few levels below it.

    MissingFileError if it is not there, or if only others of its name are.
    """
    root = videos or Path()
    others = 0
    for name in dict.fromkeys((row.source, on_disk(row.source))):
        for path in _candidates(root, Path(name)):
            if path.exists():
                if probe(path).digest == digest:
                    return path
                others += 1
    found = f" ({others} of that name are other videos)" if others else ""
    raise MissingFileError(
        f"the source '{row.source}' of sequence '{row.id}' is not in {root.resolve()} nor a few levels below{found}; "
        f"name its folder with --videos"
    )


def _candidates(root: Path, name: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    yield root / name
    yield root / name.name
    for level in range(1, LEVELS):
        for folder in sorted(root.glob("/".join(["*"] * level))):
            yield folder / name


def depth_maps(configuration: dict[str, Any], weights: str | Path | None) -> DepthMap | None:
    """Return a function that computes the depth maps of a store again, with its network or its ground truth.

    None of a store without depth. MissingFileError if the network's weights are not here.
    """
    described = configuration["depth"]
    if described["name"] == GROUND_TRUTH:
        return _true_depth
    if is_none(described["name"]):
        return None
    if weights is None and str(described.get("weights", "")).startswith("random"):
        weights = str(described["weights"])
    network = build_depth(described["name"], weights, size=size_in(described))

    def estimate(source: Path, number: int, image: np.ndarray) -> np.ndarray:
        return network.estimate(torch.from_numpy(image)[None])[0].numpy()

    return estimate


def _true_depth(source: Path, number: int, image: np.ndarray) -> np.ndarray:
    from ..datasets.synth import SynthTruthWithDepth

    if not (source.parent / "depth.zarr").exists():
        raise MissingFileError(f"there are no exact depth maps beside {source}; --no-depth leaves the map out")
    return SynthTruthWithDepth(source.parent, "").depth(np.array([number]))[0]
