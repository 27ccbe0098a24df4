"""A lifter's inputs: a representation with its options, its normalisation and its mirror image."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..stores.errors import InvalidValueError
from ..stores.format.families import AT, split_field
from ..stores.format.schema import FEATURES, UADD_STATISTICS, Field
from .plane import ROOT, Placing, absent, box_of, normalise_xy
from .raw import FLIP, FRAME_SIZE, POSE, check_shapes, choose, finite, take
from .representations import CHANNELS, ORDINAL_NEAR, REPRESENTATIONS, Channel
from .standard import Moments, Statistics, plain, standardise

DEPTH_ORIGINS = ("nearest", "root")
# m, AugLift version 4: the best of 3.5 to 6.0.
D_REF = 4.5
_RARE = ("centred", "standard", "statistics", "distance", "features", "widths")


@dataclass(frozen=True)
class Inputs:
    """A representation with its options: call it on a batch, and it gives the lifter's inputs.

    preset        UADD preset that depths come from; None: the representation's own. `paper@base`: as the family `base`
                  of the store has it, which auglift-prep extend added
    depth_origin  what is subtracted from d: "nearest", the smallest d of the frame's joints, or "root", the pelvis'
                  (AugLift's text; then d is clipped to +-depth_limit)
    depth_limit   m, for "root" alone. The text leaves it open; within 1 m of the pelvis lies all of a person
    scale_to      None, or b_train (AugLift version 4): every frame's 2D is rescaled about the centroid of its joints
                  so that the mean of width and height of their box is this; in units of x and y, see `box_size`
    joints        "", or the family whose joints are taken, `keypoints@<family>`, and not the store's own
    centred       x and y of every joint, and positions in `spatial`, less the pelvis', which keeps its own. Where there
                  is no pelvis, no x and y was measured
    standard      each channel of each joint by its mean and deviation over a training set and its mirror images, cut to
                  4: see `fit`. What was not measured is 0, the mean; `c` then as far below it as no confidence is.
                  Learned features are normalised by percentiles of their own: models/streams.py
    statistics    what `fit` found; with `standard` alone
    distance      None, or d_ref, m (AugLift version 4): every frame's x and y times d_root / d_ref, as if the person
                  stood that far away; d of `preset`, by default `paper`. A frame without d_root keeps its scale
    features      "", or the family that learned features are of
    widths        of the streams, which the stores say: see `bound`
    """

    name: str = "uadd"
    preset: str | None = None
    depth_origin: str = "nearest"
    depth_limit: float = 1.0
    scale_to: float | None = None
    joints: str = ""
    centred: bool = False
    standard: bool = False
    statistics: Statistics | None = None
    distance: float | None = None
    features: str = ""
    widths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # JSON makes lists of tuples
        choose("representation", self.name, REPRESENTATIONS)
        choose("depth origin", self.depth_origin, DEPTH_ORIGINS)
        if not 0 < self.depth_limit < math.inf:
            raise InvalidValueError(f"depth limit {self.depth_limit} m: must be above 0 and finite")
        if self.scale_to is not None and not 0 < self.scale_to < math.inf:
            raise InvalidValueError(
                f"scale_to {self.scale_to}: must be above 0 and finite, or None to leave the scale alone"
            )
        if self.distance is not None and not 0 < self.distance < math.inf:
            raise InvalidValueError(f"distance {self.distance} m: must be above 0 and finite, such as {D_REF}")
        if self.distance is not None and self.scale_to is not None:
            raise InvalidValueError("both @scaled and @dscale: each gives the 2D a scale of its own; leave one out")
        if self.features and not self.streams:
            raise InvalidValueError(f"representation '{self.name}' has no learned features: leave out @features")
        self._choose_preset()
        if self.statistics is not None:
            if not self.standard:
                raise InvalidValueError("inputs with statistics that are not standard: give standard=True, or none")
            object.__setattr__(self, "statistics", Statistics.of(self.statistics, self._mirrored))

    def _choose_preset(self) -> None:
        own = REPRESENTATIONS[self.name].preset or (None if self.distance is None else "paper")
        if self.preset is None:
            object.__setattr__(self, "preset", own)
        elif own is None:
            raise InvalidValueError(f"representation '{self.name}' uses no depth: leave out the preset '{self.preset}'")
        else:
            statistics = UADD_STATISTICS[choose("UADD preset", split_field(self.preset)[0], UADD_STATISTICS)]
            lacking = {c.statistic for c in self.channels if c.statistic} - {*statistics}
            if lacking:
                raise InvalidValueError(
                    f"representation '{self.name}' needs {', '.join(sorted(lacking))}, which the UADD preset "
                    f"'{self.preset}' does not have; its own is '{own}'"
                )

    @property
    def _mirrored(self) -> list[bool]:
        return [channel.mirrored for channel in self.channels]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data; `Inputs(**values)` gives it back. Rare options are left out where not used."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        rare = {name: values.pop(name) for name in _RARE}
        if self.statistics is not None:
            rare["statistics"] = plain(self.statistics)
        rare["widths"] = list(self.widths)
        return {**values, **{name: value for name, value in rare.items() if value}}

    @property
    def channels(self) -> tuple[Channel, ...]:
        return tuple(CHANNELS[name] for name in REPRESENTATIONS[self.name].channels)

    @property
    def streams(self) -> dict[str, str]:
        """Return the store's field of each stream of learned features, by its name, in order."""
        family = f"{AT}{self.features}" if self.features else ""
        return {stream: FEATURES[stream] + family for stream in REPRESENTATIONS[self.name].streams}

    @property
    def widths_by_stream(self) -> dict[str, int]:
        """Return how wide each stream is, of inputs that are bound."""
        return dict(zip(self.streams, self.widths, strict=True))

    def bound(self, fields: Mapping[str, Field]) -> Inputs:
        """Return these inputs for stores with such fields: learned features as wide as they are there."""
        return replace(self, widths=tuple(fields[name].shape[-1] for name in self.streams.values()))

    def without_streams(self) -> Inputs:
        """Return these inputs less their learned features."""
        return replace(self, name=REPRESENTATIONS[self.name].without_streams().name, features="", widths=())

    @property
    def count(self) -> int:
        """Return the number of channels a joint, learned features included."""
        if len(self.widths) != len(self.streams):
            raise InvalidValueError(
                f"'{self.name}' has learned features, whose width a store says: inputs.bound(store.fields)"
            )
        return len(self.channels) + sum(self.widths)

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the fields that a store must hold, `valid` included."""
        joints = f"{AT}{self.joints}" if self.joints else ""
        names = {"uadd": f"uadd/{self.preset}", POSE: POSE}
        wanted = dict.fromkeys(names.get(c.field, c.field + joints) for c in self.channels)
        scale = {f"uadd/{self.preset}": None} if self.distance is not None else {}
        return ("valid", *(wanted | scale), *self.streams.values())

    def fit(self, batches: Iterable[Mapping[str, Any]]) -> Inputs:
        """Return these inputs with the statistics of a training set, which `standard` needs; others as they are.

        batches   of the training set, as for a call but for learned features: a `WindowLoader` or `WindowDataset`,
                  best with window=1 and shuffle=False. Frames with `inside` False are copies, and not counted
        Raises InvalidValueError where no person is in them, or nothing ever changes.
        """
        if not self.standard:
            return self
        raw = replace(self.without_streams(), standard=False, statistics=None)
        moments = Moments(raw.count)
        for batch in batches:
            values, mask = raw(batch)
            if "inside" in batch:
                mask = mask & torch.as_tensor(batch["inside"])[..., None, None]
            moments.add(values, mask)
        return replace(self, statistics=moments.statistics(self._mirrored))

    def __call__(self, batch: Mapping[str, Any], device: torch.device | str | None = None) -> tuple[Tensor, Tensor]:
        """Compute the normalised channels of every joint, and which of them were measured.

        batch    arrays or tensors: `frame_size` (B, 2) px, w and h; `keypoints` (B, T, 17, 2) px; `score` (B, T, 17)
                 raw; `uadd/<preset>` (B, T, 17, S) m, positions in px; `valid` (B, T). Only `fields` are looked at
        Returns  inputs (B, T, 17, C) float32, and mask (B, T, 17, C) bool: False where a channel was not measured and
                 holds its `missing` constant; learned features, last and as stored, NaN: `models/streams.py` knows what
                 to make of both. That is every channel of a joint whose frame is not valid or whose
                 position is not finite, and any channel that is not finite itself. The first kind of joint has no part
                 in the nearest depth, the centroid and the box either.
        Raises MissingFieldError, or InvalidValueError for shapes that do not go together.
        """
        columns = self._columns(batch, device)
        mask = torch.cat([finite(c if c.ndim == 4 else c[..., None]) for c in columns], dim=-1)
        return self._filled(columns), mask

    def without_mask(self, batch: Mapping[str, Any], device: torch.device | str | None = None) -> Tensor:
        """Return the first of what a call returns, in less time."""
        return self._filled(self._columns(batch, device))

    def _columns(self, batch: Mapping[str, Any], device: torch.device | str | None) -> list[Tensor]:
        """By channel, (B, T, 17) each, NaN where not measured: arithmetic keeps it, at a tenth of the cost of masks.

        Then by stream, (B, T, 17, its width) each. A channel at a time: operations along a last axis of two to ten
        numbers are slow.
        """
        raw = {split_field(name)[0]: take(batch, name, device) for name in (FRAME_SIZE, *self.fields)}
        preset = None if self.preset is None else split_field(self.preset)[0]
        streams = [split_field(field)[0] for field in self.streams.values()]
        check_shapes(raw, preset, dict(zip(streams, self.widths, strict=False)))
        size = raw[FRAME_SIZE]
        xy = normalise_xy(raw["keypoints"].unbind(-1), size)
        missing = absent(raw["valid"], xy)
        xy += missing
        statistics = {}
        if preset is not None:
            statistics = dict(zip(UADD_STATISTICS[preset], raw[f"uadd/{preset}"].unbind(-1), strict=True))
        place = Placing(xy, self.scale_to, self.centred, self._nearness(statistics, missing))
        positions = {"": place(xy)}
        columns = {}
        if "score" in raw:
            columns["c"] = (raw["score"] + missing).clamp_(0, 1).mul_(2).sub_(1)
        if statistics:
            columns |= self._depths(statistics, missing)
        for end in ("_min", "_max"):
            if f"x{end}" in statistics:
                where = normalise_xy((statistics[f"x{end}"], statistics[f"y{end}"]), size)
                positions[end] = place(where.add_(missing))
        if POSE in raw:
            behind = raw[POSE][..., 2] - raw[POSE][..., ROOT, 2, None] + missing
            columns["ordinal"] = torch.where(behind.abs() > ORDINAL_NEAR, behind.sign(), 0 * behind)
        for end, position in positions.items():
            columns[f"x{end}"], columns[f"y{end}"] = position.unbind()
        own = (columns[channel.name] for channel in self.channels)
        return [*own, *(raw[stream].add_(missing[..., None]) for stream in streams)]

    def _filled(self, columns: Sequence[Tensor]) -> Tensor:
        """(B, T, 17, C), with the constants of what is missing."""
        out = columns[0].new_empty((*columns[0].shape, self.count))
        start = len(self.channels)
        channels, constants = columns[:start], [channel.missing for channel in self.channels]
        for stream in columns[start:]:
            out[..., start : start + stream.shape[-1]] = stream
            start += stream.shape[-1]
        if self.standard:
            if self.statistics is None:
                raise InvalidValueError("standard inputs without a training set's statistics: call inputs.fit(batches)")
            standardise(channels, constants, self.statistics, out)
        else:
            for column, constant, place in zip(channels, constants, out.unbind(-1), strict=False):
                torch.nan_to_num(column, constant, constant, constant, out=place)
        return out

    def _nearness(self, statistics: Mapping[str, Tensor], missing: Tensor) -> Tensor | None:
        """Depth of the pelvis over `distance`, (B, T, 1); 1 where the pelvis is not there."""
        if self.distance is None:
            return None
        return ((statistics["d"] + missing)[..., ROOT, None] / self.distance).nan_to_num(1.0)

    def _depths(self, statistics: Mapping[str, Tensor], missing: Tensor) -> dict[str, Tensor]:
        """The channels made from metric depth, (B, T, 17) each."""
        d = statistics["d"] + missing
        if self.depth_origin == "root":
            relative = (d - d[..., ROOT, None]).clamp_(-self.depth_limit, self.depth_limit)
            columns = {"d": relative, "d_centred": relative}
        else:
            relative = d - d.nan_to_num(torch.inf, torch.inf).amin(-1, keepdim=True)
            columns = {"d": relative, "d_centred": relative.clamp(0, 2).sub_(1)}
        for name, statistic in (("below", "d_min"), ("above", "d_max")):
            if statistic in statistics:
                columns[name] = (statistics[statistic] - d).clamp_(-1, 1)
        return columns

    def flip(self, inputs: Tensor) -> Tensor:
        """Mirror (..., 17, C): x-like channels negated, left and right swapped in every channel.

        Learned features change sides and nothing else: what a network would see in the mirrored picture is not known.
        A missing x is 0 and so is its mirror image; the mask of the mirror image is `swap_sides(mask, -2)`.
        """
        if inputs.shape[-2:] != (len(FLIP), self.count):
            raise InvalidValueError(
                f"inputs of shape {tuple(inputs.shape)}: this representation has (..., {len(FLIP)}, {self.count})"
            )
        mirrored = swap_sides(inputs, -2)
        for index, channel in enumerate(self.channels):
            if channel.mirrored:
                mirrored[..., index].neg_()
        return mirrored


def targets(batch: Mapping[str, Any], device: torch.device | str | None = None) -> tuple[Tensor, Tensor]:
    """Return what a lifter learns to predict: `target/pose3d` less its pelvis.

    batch    `target/pose3d` (B, T, 17, 3) m, camera frame (x right, y down, z away from the camera)
    Returns  (B, T, 17, 3) float32 m, root-relative, and mask (B, T, 17) bool: False, and 0 m, where the truth is not
             finite. Without a pelvis the whole frame is not.
    """
    pose = take(batch, POSE, device)
    if pose.ndim != 4 or pose.shape[-2:] != (len(FLIP), 3):
        raise InvalidValueError(f"'{POSE}' of the batch is {tuple(pose.shape)}, must be (B, T, {len(FLIP)}, 3)")
    pose = pose - pose[..., ROOT, None, :]
    mask = finite(pose).all(-1)
    return torch.where(mask[..., None], pose, 0), mask


def flip_pose(pose: Tensor) -> Tensor:
    """Mirror (..., 17, 3) in the camera frame: x negated, left and right swapped."""
    return swap_sides(pose, -2) * pose.new_tensor([-1, 1, 1])


def swap_sides(values: Tensor, axis: int) -> Tensor:
    """Swap left and right joints along the axis of joints, nothing negated: for masks, errors and weights."""
    return values.index_select(axis, FLIP.to(values.device))


def box_size(batch: Mapping[str, Any]) -> Tensor:
    """Compute b of method.md, section 5: mean of width and height of a frame's box of joints, in units of x and y.

    batch    `frame_size`, `keypoints` and `valid`, as for `Inputs`
    Returns  (B, T) float32, NaN where no joint is present. Its mean over a training set is `scale_to`.
    """
    raw = {name: take(batch, name, None) for name in (FRAME_SIZE, "keypoints", "valid")}
    check_shapes(raw, None)
    xy = normalise_xy(raw["keypoints"].unbind(-1), raw[FRAME_SIZE])
    return box_of(xy + absent(raw["valid"], xy))
