"""The representations: which channels each has, what a channel is made from, and what stands where it is missing."""

from __future__ import annotations

from dataclasses import dataclass

from .raw import POSE

# m: within this of the pelvis' depth a joint is in the middle bin of `ordinal3`. The paper leaves it open.
ORDINAL_NEAR = 0.1


@dataclass(frozen=True)
class Channel:
    """One number a joint.

    missing    what stands where there is no measurement: 0, but -1 (no confidence at all) for `c`
    mirrored   a horizontal flip negates it
    statistic  of the UADD preset it is made from, None: made from keypoints or score
    """

    name: str
    missing: float = 0.0
    mirrored: bool = False
    statistic: str | None = None

    @property
    def field(self) -> str:
        """Field of the store it is made from; `uadd` for whichever preset was chosen."""
        if self.statistic is not None:
            return "uadd"
        return {"c": "score", "ordinal": POSE}.get(self.name, "keypoints")


CHANNELS: dict[str, Channel] = {
    channel.name: channel
    for channel in (
        Channel("x", mirrored=True),
        Channel("y"),
        Channel("c", missing=-1.0),
        Channel("d", statistic="d"),
        Channel("d_centred", statistic="d"),
        Channel("below", statistic="d_min"),
        Channel("above", statistic="d_max"),
        Channel("x_min", mirrored=True, statistic="x_min"),
        Channel("y_min", statistic="y_min"),
        Channel("x_max", mirrored=True, statistic="x_max"),
        Channel("y_max", statistic="y_max"),
        # From the TRUE pose: -1 before the pelvis, 0 near it, 1 behind it.
        Channel("ordinal"),
    )
}


@dataclass(frozen=True)
class Representation:
    """A row of method.md, section 5: names of channels in order, and the UADD preset they come from by default.

    streams   of learned features, which follow the channels, each as wide as the network that it comes from
    """

    name: str
    channels: tuple[str, ...]
    preset: str | None = None
    streams: tuple[str, ...] = ()

    def without_streams(self) -> Representation:
        """Return the one of the same channels that has no learned features."""
        return next(r for r in REPRESENTATIONS.values() if r.channels == self.channels and not r.streams)


_UADD = ("x", "y", "c", "d", "below", "above")

REPRESENTATIONS: dict[str, Representation] = {
    representation.name: representation
    for representation in (
        Representation("xy", ("x", "y")),
        Representation("xyc", ("x", "y", "c")),
        # One depth a joint was first the minimum in a disk of 3 px: the preset `fixed`.
        Representation("xyd", ("x", "y", "d"), "fixed"),
        Representation("xycd", ("x", "y", "c", "d_centred"), "fixed"),
        Representation("uadd", _UADD, "paper"),
        Representation("spatial", (*_UADD, "x_min", "y_min", "x_max", "y_max"), "spatial"),
        # The paper's oracle (version 4): what a depth in three bins would be worth without error.
        Representation("ordinal3", ("x", "y", "ordinal")),
        Representation("v2", _UADD, "paper", ("pose", "depth")),
        Representation("image", ("x", "y"), None, ("pose",)),
        Representation("image+uadd", _UADD, "paper", ("pose",)),
    )
}
