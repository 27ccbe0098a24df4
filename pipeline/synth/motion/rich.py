"""Rich motion: limbs taken from another motion and joints bent at random, so that no pose follows from its picture.

Each motion of a domain moves in few ways, and a lifter learns from two dimensions which. Here a person holds and slowly
changes angles that no motion says. What is drawn is kept only if no limb goes through another or beyond its limits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..seeding import Array, Rng, Wobble
from .choice import Motion
from .mocap import exponential_maps
from .rig import _HIGH, _LOW, _SIGN, INDEX, JOINTS, Pose, Rig, anatomical_angles, local_rotations

# Degrees that a joint is bent by, in a deviation that stays through the clip and one as large that drifts: flexion,
# abduction, twist.
BENDS = {
    "lumbar": (5, 5, 5),
    "chest": (5, 5, 5),
    "neck": (6, 6, 6),
    "head": (6, 6, 6),
    "shoulder": (16, 16, 16),
    "elbow": (20, 0, 14),
    "hip": (9, 8, 9),
    "knee": (10, 0, 0),
}
_LEGS = ("hip", "knee")
_ARMS = [INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("clavicle", "shoulder", "elbow", "wrist")]
_HEAD = [INDEX["neck"], INDEX["head"]]
_SHOULDERS = [INDEX["left_shoulder"], INDEX["right_shoulder"]]
_SHARE_OF_HEADS = 0.5  # of those whose arms are another motion's

# What is tried in turn: with the other motion's limbs or without, and how much of the bends.
_TRIES = ((True, 1.0),) * 5 + ((True, 0.6),) * 4 + ((False, 1.0),) * 4 + ((False, 0.5),) * 4 + ((False, 0.2),) * 2
_LOOKED_AT = 25  # instants of a clip
_AWAY = (0.0, 10.0, 20.0)  # degrees that both arms are held off the body by, until they are clear of it
DEEPEST = 0.03  # m: flesh gives way by so much


@dataclass(frozen=True)
class Flesh:
    """What of a body may not go through what.

    ends    poses to the round cones' ends (T, P, 2, 3), m
    radius  (P, 2) m; pairs (K, 2) of cones that are to stay apart
    """

    ends: Callable[[Pose], Array]
    radius: Array
    pairs: Array

    def depth(self, pose: Pose) -> Array:
        """Return (T,) m: how deep the deepest pair is in each other; negative where all are apart."""
        ends = self.ends(pose)
        first, second = ends[:, self.pairs[:, 0]], ends[:, self.pairs[:, 1]]
        distance, s, t = _between_segments(first, second)
        own, other = self.radius[self.pairs[:, 0]], self.radius[self.pairs[:, 1]]
        thick = own[:, 0] + s * (own[:, 1] - own[:, 0]) + other[:, 0] + t * (other[:, 1] - other[:, 0])
        return (thick - distance).max(axis=1)


def apart(parts: tuple[str, ...]) -> Array:
    """Return (K, 2): which of the named round cones of a body are to stay apart."""
    trunk = ("pelvis", "abdomen", "chest", "left_trunk", "right_trunk", "skull", "jaw")
    pairs = []
    for side, other in (("left", "right"), ("right", "left")):
        leg = [f"{which}_{part}" for which in (side, other) for part in ("thigh", "shin", "calf", "foot")]
        arm = [f"{other}_{part}" for part in ("upper_arm", "forearm", "palm")]
        pairs += [(f"{side}_{part}", thing) for part in ("forearm", "palm", "hand") for thing in (*trunk, *leg, *arm)]
        pairs += [(f"{side}_upper_arm", thing) for thing in ("abdomen", "pelvis", "skull", *leg)]
        pairs += [
            (f"{side}_{part}", f"{other}_{thing}") for part in ("shin", "foot") for thing in ("thigh", "shin", "foot")
        ]
    return np.array([(parts.index(one), parts.index(two)) for one, two in pairs])


def enrich(motion: Motion, limbs: Motion | None, rig: Rig, flesh: Flesh, rng: Rng, seconds: Array) -> Motion:
    """Return the motion, bent at random, with the arms of `limbs`, and at times its head.

    It is as good as what it is made of at the `seconds` (T,) of a clip: no limb is deeper in another than 3 cm, or than
    the motion's own are at its worst; none is in the floor or beyond its limits. A motion that cannot be bent so stays.
    """
    looked = seconds[np.unique(np.linspace(0, len(seconds) - 1, min(_LOOKED_AT, len(seconds))).astype(int))]
    base, others = motion.sample(looked), limbs.sample(looked) if limbs else None
    allowed = max(float(flesh.depth(base).max()), DEEPEST)
    before = _beyond(base)
    with_head = bool(rng.random() < _SHARE_OF_HEADS)
    for mixed, strength in _TRIES:
        bends = _Bends.draw(rng, strength, seated=bool(motion.props))
        if mixed and limbs is None:
            continue
        for away in _AWAY:
            made = _Rich(motion.sample, limbs.sample if mixed and limbs else None, with_head, bends.away(away), rig)
            tried = made.bent(looked, base, others if mixed else None)
            if (flesh.depth(tried) <= allowed).all() and not (_beyond(tried) & ~before).any():
                return replace(motion, sample=made)
    return motion


@dataclass(frozen=True)
class _Bends:
    """Angles in degrees: `steady` (21, 3), and as many more that drift."""

    steady: Array
    drift: Wobble
    size: Array

    @classmethod
    def draw(cls, rng: Rng, strength: float, seated: bool) -> _Bends:
        """Draw them; who sits keeps the legs where the chair wants them."""
        size = np.zeros((len(JOINTS), 3))
        for number, name in enumerate(JOINTS):
            kind = name.rsplit("_", 1)[-1]
            if not (seated and kind in _LEGS):
                size[number] = BENDS.get(kind, (0, 0, 0))
        size *= strength
        return cls(size * rng.standard_normal(size.shape), Wobble.draw(rng, size.size, 0.05, 0.35), size)

    def away(self, degrees: float) -> _Bends:
        """Return the same with both arms farther from the body."""
        steady = self.steady.copy()
        steady[_SHOULDERS, 1] += degrees
        return replace(self, steady=steady)

    def __call__(self, seconds: Array) -> Array:
        return self.steady + self.size * self.drift(seconds).reshape(len(seconds), *self.size.shape)


@dataclass(frozen=True)
class _Rich:
    """A motion as a function of time."""

    base: Callable[[Array], Pose]
    limbs: Callable[[Array], Pose] | None
    with_head: bool
    bends: _Bends
    rig: Rig

    def __call__(self, seconds: Array) -> Pose:
        return self.bent(seconds, self.base(seconds), self.limbs(seconds) if self.limbs else None)

    def bent(self, seconds: Array, base: Pose, limbs: Pose | None) -> Pose:
        """Return what becomes of the two motions' poses at these instants."""
        rotation = base.rotation.copy()
        if limbs is not None:
            taken = [*_ARMS, *(_HEAD if self.with_head else [])]
            rotation[:, taken] = limbs.rotation[:, taken]
        bends = self.bends(seconds)
        angles = anatomical_angles(rotation)
        # Never beyond the limits by more than the motion itself was.
        bent = np.clip(angles + bends, np.minimum(_LOW, angles), np.maximum(_HIGH, angles))
        moved = np.asarray(self.bends.size.any(axis=1))
        moved[_SHOULDERS] = False
        turned = rotation.copy()
        turned[:, moved] = local_rotations(bent)[:, moved]
        # An arm may be raised past where its three angles are unique: it is turned as a whole.
        about = np.radians(bends * _SIGN)[:, _SHOULDERS][..., [0, 2, 1]]  # x flexion, y twist, z abduction
        turned[:, _SHOULDERS] = rotation[:, _SHOULDERS] @ exponential_maps(about)
        pose = Pose(base.root, turned)
        shift = np.zeros((len(pose), 3))
        shift[:, 1] = self.rig.lowest(base) - self.rig.lowest(pose)  # as near to the floor as before
        return pose.moved(shift)


def _beyond(pose: Pose) -> Array:
    """(T, 2) bool: whether a shoulder is beyond its limits, by either of the two ways to write its angles."""
    angles = anatomical_angles(pose.rotation)[:, _SHOULDERS]
    low, high = _LOW[_SHOULDERS], _HIGH[_SHOULDERS]

    def within(angles: Array) -> Array:
        wrapped = np.stack([angles, angles - 360, angles + 360])
        return ((wrapped >= low - 1) & (wrapped <= high + 1)).any(axis=0).all(axis=-1)

    second = np.stack([angles[..., 0] + 180, 180 - angles[..., 1], angles[..., 2] + 180], axis=-1)
    return ~(within(angles) | within(second))


def _between_segments(first: Array, second: Array) -> tuple[Array, Array, Array]:
    """Distance (T, K) of segments (T, K, 2, 3), and where on each, 0 to 1, they are nearest."""
    a, b = first[..., 1, :] - first[..., 0, :], second[..., 1, :] - second[..., 0, :]
    w = first[..., 0, :] - second[..., 0, :]
    aa, bb, ab = ((x * y).sum(-1) for x, y in ((a, a), (b, b), (a, b)))
    aw, bw = (a * w).sum(-1), (b * w).sum(-1)
    s = np.clip((ab * bw - bb * aw) / np.maximum(aa * bb - ab * ab, 1e-9), 0, 1)
    t = np.clip((ab * s + bw) / np.maximum(bb, 1e-9), 0, 1)
    s = np.clip((ab * t - aw) / np.maximum(aa, 1e-9), 0, 1)
    gap = w + s[..., None] * a - t[..., None] * b
    return np.linalg.norm(gap, axis=-1), s, t
