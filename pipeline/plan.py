"""A plan: which frames of which sources make which shards, with which settings. Plain data, made before the job."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from ..stores.errors import InvalidValueError
from ..stores.format.depth_unit import depth_unit, in_unit
from ..stores.format.fingerprint import fingerprint
from ..stores.format.schema import ROOT_VERSION, Field, fields_for
from ..stores.format.sequences import NAN, SequenceTable
from ..stores.format.sequences import Sequence as SequenceRow
from ..stores.locations.base import Location
from ..stores.reading.store import FeatureStore
from ..stores.writing.shards import SHARD_FRAMES, StoreLayout
from .features.streams import fields_of as features_of
from .frames.names import readable
from .frames.sources import SourceInfo

# By how little the rate that is wished for may be missed: 29.97 for 30.
LEAST_STEP = Fraction(99, 100)


class GroundTruth(Protocol):
    """What a dataset knows of a sequence. Small and picklable: it travels to the worker that reads it.

    One that also has `depth(source_frames: (n,)) -> (n, H, W) float32`, metres along the optical axis and NaN where
    there is none, offers `--depth ground-truth`; one with `target/keypoints` among its fields, `--pose ground-truth`.
    """

    @property
    def fields(self) -> tuple[str, ...]: ...

    def describe(self) -> dict[str, Any]:
        """Return plain data that changes when the ground truth does; part of the fingerprint."""
        ...

    def read(self, source_frames: np.ndarray) -> dict[str, np.ndarray]:
        """Read arrays of the fields named in `fields`, a row a frame; and `bbox` (n, 4) px where it is known."""
        ...


class GivenKeypoints(Protocol):
    """2D joints of a sequence that were detected elsewhere. Small and picklable, like `GroundTruth`.

    place   path or URL of the file
    """

    @property
    def place(self) -> str: ...

    def describe(self) -> dict[str, Any]:
        """Plain data for the fingerprint, beside what the settings say of the file."""
        ...

    def read(self, source_frames: np.ndarray, boxes: np.ndarray | None) -> dict[str, np.ndarray]:
        """Arrays as `networks/substitutes/given.py` names them, a row a frame.

        boxes   (n, 4) px: the true one, where it is known. Of several people the one who covers it best is taken
        """
        ...


@dataclass(frozen=True)
class Clip:
    """A future sequence of the store: a source, which of its frames to take, and what is known about it.

    step      source frames a stored frame; frame k is source frame floor(k step + 1/2)
    count     frames stored
    keypoints 2D joints of a file, which are used instead of networks
    warnings  what a user should know of the source and of how it is sampled, a line each
    """

    id: str
    info: SourceInfo
    name: str
    count: int
    step: Fraction = Fraction(1)
    fps: float = NAN
    dataset: str = "video"
    subject: str = ""
    action: str = ""
    camera: str = ""
    split: str = ""
    intrinsics: tuple[float, float, float, float] = (NAN, NAN, NAN, NAN)
    truth: GroundTruth | None = None
    keypoints: GivenKeypoints | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self):
        # Names come from file names, which can hold bytes that are no text.
        for key in ("id", "name", "dataset", "subject", "action", "camera", "split"):
            object.__setattr__(self, key, readable(getattr(self, key)))

    def source_frames(self, first: int, count: int) -> np.ndarray:
        """Return (count,) int64: the source frames of stored frames [first, first + count). Exact, without floats."""
        k = np.arange(first, first + count, dtype=np.int64)
        numerator, denominator = self.step.numerator, self.step.denominator
        return (2 * k * numerator + denominator) // (2 * denominator)


def clip_of(info: SourceInfo, id: str, name: str, fps: float | None, limit: int | None, **known: Any) -> Clip:
    """Make a clip of a whole source, resampled to `fps` and cut to `limit` frames.

    InvalidValueError if `fps` is higher than the source's rate.
    """
    step, notes = sampling(info, fps)
    count = math.ceil(Fraction(info.frame_count) / step)
    # Rounding up half a step may point one past the end.
    while (2 * (count - 1) * step.numerator + step.denominator) // (2 * step.denominator) >= info.frame_count:
        count -= 1
    count = count if limit is None else min(count, limit)
    rate = NAN if info.fps is None else info.fps / float(step)
    return Clip(id, info, name, count, step, rate, warnings=(*info.warnings, *notes), **known)


def sampling(info: SourceInfo, fps: float | None) -> tuple[Fraction, tuple[str, ...]]:
    """Return how many source frames there are for each stored frame, as an exact fraction, and a line for each warning.

    A rate that the source misses by less than a hundredth is met all the same: the frame nearest in time is taken,
    the same one twice now and again.
    """
    if fps is None:
        return Fraction(1), ()
    if not 0 < fps < math.inf:
        raise InvalidValueError(f"--fps must be positive, not {fps}")
    if info.fps is None:
        return Fraction(1), (f"has no frame rate, so every frame is taken, whatever --fps {fps:g}",)
    step = (Fraction(info.fps) / Fraction(fps)).limit_denominator(1000)
    if step < LEAST_STEP:
        raise InvalidValueError(
            f"{readable(str(info.path))} has {info.fps:.6g} fps; --fps {fps:g} is more than there are"
        )
    notes = []
    if step < 1:
        notes.append(
            f"has {info.fps:.6g} fps, a little less than --fps {fps:g}: the nearest frame is taken, 1 in "
            f"{round(1 / (1 - step))} twice"
        )
    if info.variable_rate and step != 1:
        notes.append(f"its frame rate varies: --fps {fps:g} takes frames by their number, not by their time")
    return step, tuple(notes)


@dataclass(frozen=True)
class Segment:
    """A run of frames of one clip: `count` stored frames from `first`, both counted inside the clip."""

    clip: int
    first: int
    count: int


@dataclass(frozen=True)
class Shard:
    """Frames [start, stop) of the store, which one worker writes together."""

    index: int
    start: int
    stop: int
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Plan:
    """Everything that fixes the bytes of a store.

    settings     what the networks and the descriptor are, as plain data
    warnings     what a user of the store must know about all of it; each clip has warnings of its own
    truth        what was found about the ground truth, as plain data; the store holds it, no array depends on it
    stated       `licences` of the weights and `terms` of the data, as `licences.stated` finds them; as with truth
    """

    clips: tuple[Clip, ...]
    settings: Mapping[str, Any]
    presets: tuple[str, ...]
    shard_frames: int = SHARD_FRAMES
    warnings: tuple[str, ...] = ()
    truth: Mapping[str, Any] = field(default_factory=dict)
    stated: Mapping[str, Any] = field(default_factory=dict)
    shards: tuple[Shard, ...] = field(init=False)

    def __post_init__(self):
        if not self.clips:
            raise InvalidValueError("there is nothing to do: no source was given")
        object.__setattr__(self, "shards", tuple(_cut(self.clips, self.layout)))

    @property
    def frames(self) -> int:
        return sum(clip.count for clip in self.clips)

    @property
    def fields(self) -> tuple[Field, ...]:
        known = {name for clip in self.clips if clip.truth for name in clip.truth.fields}
        unit = depth_unit(self.settings)
        return (*(in_unit(field, unit) for field in fields_for(self.presets, known)), *features_of(self.settings))

    @property
    def layout(self) -> StoreLayout:
        return StoreLayout(self.fields, self.frames, min(self.shard_frames, self.frames))

    @property
    def configuration(self) -> dict[str, Any]:
        """Return what the fingerprint is of: settings, sources and how they are cut."""
        return {
            "format_version": ROOT_VERSION,
            "dataset": self.clips[0].dataset,
            "shard_frames": self.layout.shard_frames,
            "sequences": {clip.id: _describe(clip, self.settings) for clip in self.clips},
            **self.settings,
        }

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.configuration)

    def open(self, location: Location) -> FeatureStore:
        """Open what this plan writes for reading, finished or not."""
        return FeatureStore.open(location, allow_incomplete=True)

    def publish(self) -> None:
        """Make what is complete known to readers; of a store, its own status does."""

    def sequences(self) -> SequenceTable | None:
        """Return the store's table of sequences; None where what is written has none of its own."""
        rows, start = [], 0
        for clip in self.clips:
            rows.append(_sequence(clip, start))
            start += clip.count
        return SequenceTable.from_sequences(rows)

    def to_json(self) -> dict[str, Any]:
        """Write plan.json: the configuration, its fingerprint, and what each shard is made of."""
        return {
            "configuration": self.configuration,
            "fingerprint": self.fingerprint,
            "shards": [
                {"shard": shard.index, "start": shard.start, "stop": shard.stop, "segments": self._segments(shard)}
                for shard in self.shards
            ],
        }

    def _segments(self, shard: Shard) -> list[dict[str, Any]]:
        return [
            {
                "sequence": self.clips[s.clip].id,
                "source": self.clips[s.clip].name,
                "first": int(self.clips[s.clip].source_frames(s.first, 1)[0]),
                "count": s.count,
                "step": str(self.clips[s.clip].step),
            }
            for s in shard.segments
        ]

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the store's group, without its configuration."""
        truth = {"ground_truth": dict(self.truth)} if self.truth else {}
        lines = [*self.warnings, *warnings_of(self.clips)]
        return {"dataset": self.clips[0].dataset, "warnings": lines, **truth, **self.stated}


def warnings_of(clips: Iterable[Clip]) -> list[str]:
    """Return what a user should know about each clip, with its name.

    The store holds it. It follows from the sources, which are in the fingerprint.
    """
    return [f"{clip.id}: {warning}" for clip in clips for warning in clip.warnings]


def _cut(clips: Sequence[Clip], layout: StoreLayout) -> list[Shard]:
    """Cut the frame axis into shards, and each shard where a clip ends."""
    edges = np.concatenate([[0], np.cumsum([clip.count for clip in clips])])
    shards = []
    for index in range(layout.shards):
        start, stop = layout.bounds(index)
        first = int(np.searchsorted(edges, start, side="right")) - 1
        segments = []
        while first < len(clips) and edges[first] < stop:
            begin, end = max(start, int(edges[first])), min(stop, int(edges[first + 1]))
            segments.append(Segment(first, begin - int(edges[first]), end - begin))
            first += 1
        shards.append(Shard(index, start, stop, tuple(segments)))
    return shards


def _describe(clip: Clip, settings: Mapping[str, Any]) -> dict[str, Any]:
    described = {"source": clip.name, "digest": clip.info.digest, "count": clip.count, "step": str(clip.step)}
    described |= {"keypoints": clip.keypoints.describe()} if clip.keypoints else {}
    fx = clip.intrinsics[0]
    if settings.get("depth", {}).get("focal_length") and math.isfinite(fx):  # else no array depends on it
        described["focal_length"] = fx
    return described | ({"truth": clip.truth.describe()} if clip.truth else {})


def _sequence(clip: Clip, start: int) -> SequenceRow:
    fx, fy, cx, cy = clip.intrinsics
    return SequenceRow(
        id=clip.id,
        dataset=clip.dataset,
        subject=clip.subject,
        action=clip.action,
        camera=clip.camera,
        split=clip.split,
        start=start,
        length=clip.count,
        fps=clip.fps,
        width=clip.info.width,
        height=clip.info.height,
        source=clip.name,
        fx=fx,
        fy=fy,
        cx=cx,
        cy=cy,
    )
