"""A plan: which frames of which sources make which shards, with which settings. Plain data, made before the job."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..stores.errors import InvalidValueError
from ..stores.fingerprint import fingerprint
from ..stores.schema import FORMAT_VERSION, Field, fields_for
from ..stores.sequences import NAN, SequenceTable
from ..stores.sequences import Sequence as SequenceRow
from ..stores.shards import SHARD_FRAMES, StoreLayout
from .frames import SourceInfo


class GroundTruth(Protocol):
    """What a dataset knows of a sequence. Small and picklable: it travels to the worker that reads it.

    One that also has `depth(source_frames: (n,)) -> (n, H, W) float32`, metres along the optical axis and NaN where
    there is none, offers `--depth ground-truth`; one with `target/keypoints` among its fields, `--pose ground-truth`.
    """

    fields: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """Plain data that changes when the ground truth does; part of the fingerprint."""
        ...

    def read(self, source_frames: np.ndarray) -> dict[str, np.ndarray]:
        """Arrays of the store's fields named in `fields`, a row a frame; and `bbox` (n, 4) px where it is known."""
        ...


@dataclass(frozen=True)
class Clip:
    """A future sequence of the store: a source, which of its frames to take, and what is known about it.

    step      source frames a stored frame; frame k is source frame floor(k step + 1/2)
    count     frames stored
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

    def source_frames(self, first: int, count: int) -> np.ndarray:
        """(count,) int64: the source frames of stored frames [first, first + count). Exact: no float is involved."""
        k = np.arange(first, first + count, dtype=np.int64)
        numerator, denominator = self.step.numerator, self.step.denominator
        return (2 * k * numerator + denominator) // (2 * denominator)


def clip_of(info: SourceInfo, id: str, name: str, fps: float | None, limit: int | None, **known: Any) -> Clip:
    """A clip of a whole source, resampled to `fps` and cut to `limit` frames.

    InvalidValueError where more frames a second are wished than the source has, or its rate is unknown.
    """
    step = sampling_step(info, fps)
    count = min(math.ceil(Fraction(info.frame_count) / step), info.frame_count)
    # Rounding up half a step may point one past the end.
    while (2 * (count - 1) * step.numerator + step.denominator) // (2 * step.denominator) >= info.frame_count:
        count -= 1
    count = count if limit is None else min(count, limit)
    rate = NAN if info.fps is None else info.fps / float(step)
    return Clip(id, info, name, count, step, rate, **known)


def sampling_step(info: SourceInfo, fps: float | None) -> Fraction:
    """Source frames a stored frame, as an exact fraction of the two rates."""
    if fps is None:
        return Fraction(1)
    if not fps > 0:
        raise InvalidValueError(f"--fps must be positive, not {fps}")
    if info.fps is None:
        raise InvalidValueError(f"{info.path} has no frame rate, so it cannot be resampled to {fps} fps; drop --fps")
    step = (Fraction(info.fps) / Fraction(fps)).limit_denominator(1000)
    if step < 1:
        raise InvalidValueError(f"{info.path} has {info.fps:.6g} fps; --fps {fps:g} asks for more than there are")
    return step


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
    truth        what was found of the ground truth, as plain data; it is told by the store and decides no array
    """

    clips: tuple[Clip, ...]
    settings: Mapping[str, Any]
    presets: tuple[str, ...]
    shard_frames: int = SHARD_FRAMES
    warnings: tuple[str, ...] = ()
    truth: Mapping[str, Any] = field(default_factory=dict)
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
        return fields_for(self.presets, known)

    @property
    def layout(self) -> StoreLayout:
        return StoreLayout(self.fields, self.frames, min(self.shard_frames, self.frames))

    @property
    def configuration(self) -> dict[str, Any]:
        """What the fingerprint is of: settings, sources and how they are cut."""
        return {
            "format_version": FORMAT_VERSION,
            "dataset": self.clips[0].dataset,
            "shard_frames": self.layout.shard_frames,
            "sequences": {clip.id: _describe(clip) for clip in self.clips},
            **self.settings,
        }

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.configuration)

    def sequences(self) -> SequenceTable:
        """The store's table of sequences."""
        rows, start = [], 0
        for clip in self.clips:
            rows.append(_sequence(clip, start))
            start += clip.count
        return SequenceTable.from_sequences(rows)

    def to_json(self) -> dict[str, Any]:
        """plan.json: the configuration, its fingerprint, and what each shard is made of."""
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
        """What the store's group says of itself beside its configuration."""
        told = {"ground_truth": dict(self.truth)} if self.truth else {}
        return {"dataset": self.clips[0].dataset, "warnings": list(self.warnings), **told}


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


def _describe(clip: Clip) -> dict[str, Any]:
    described = {"source": clip.name, "digest": clip.info.digest, "count": clip.count, "step": str(clip.step)}
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


def unique_ids(paths: Sequence[Path]) -> list[str]:
    """A short name for each source: its stem; with parents where stems repeat, numbered where paths do."""
    names = [path.stem if path.suffix and not path.is_dir() else path.name for path in paths]
    depth = 1
    while len(set(names)) < len(names) and depth < 8:
        depth += 1
        repeated = {name for name in names if names.count(name) > 1}
        names = [
            "/".join([*path.parts[-depth:-1], path.stem]) if name in repeated else name
            for name, path in zip(names, paths, strict=True)
        ]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise InvalidValueError(f"the source '{repeated}' is given twice; name each source once")
    return names
