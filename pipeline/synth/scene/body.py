"""A person: proportions, a body of round cones over the rig, and where H36M's and COCO's joints are on it.

Segment lengths follow Drillis and Contini's shares of stature, hips and shoulders as wide as Human3.6M's joints lie.
A round cone is the hull of two balls. Everything is in the frames of `rig.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..motion.rig import INDEX, JOINTS, TIP_JOINTS, Pose, Rig
from ..seeding import Array, Rng, between

# What a person is made of; a scene gives each a colour and a pattern.
MATERIALS = ("skin", "hair", "top", "bottom", "shoe", "eye")
SKIN, HAIR, TOP, BOTTOM, SHOE, EYE = range(6)


@dataclass(frozen=True)
class Subject:
    """One person's build. Lengths in metres, the rest relative to the average adult."""

    name: str
    height: float
    legs: float
    arms: float
    shoulders: float
    hips: float
    girth: float
    belly: float
    sleeve: float  # share of the arm that is covered: 0.5 ends at the elbow
    trouser: float  # share of the leg that is covered
    hair: float  # metres of hair over the skull

    @classmethod
    def draw(cls, name: str, rng: Rng, height: tuple[float, float], girth: tuple[float, float]) -> Subject:
        """Draw a person whose proportions are random within `height` and `girth`."""
        return cls(
            name=name,
            height=between(rng, height),
            legs=between(rng, (0.96, 1.04)),
            arms=between(rng, (0.95, 1.05)),
            shoulders=between(rng, (0.90, 1.10)),
            hips=between(rng, (0.92, 1.10)),
            girth=between(rng, girth),
            belly=between(rng, (0.0, 0.05)),
            sleeve=float(rng.choice([0.12, 0.30, 0.36, 0.5, 0.93, 0.97])),
            trouser=float(rng.choice([0.25, 0.45, 0.5, 0.88, 0.95, 0.97])),
            hair=between(rng, (0.002, 0.02)),
        )


@dataclass(frozen=True)
class Body:
    """A subject's rig and its P round cones.

    frame     (P, 2) rig joint each end is fixed to
    end       (P, 2, 3) metres in those frames; radius (P, 2) metres
    material  (P, 2) index into MATERIALS before and after `cut` (P,), a share of the cone's length
    part      names of the cones, in order
    """

    subject: Subject
    rig: Rig
    frame: Array
    end: Array
    radius: Array
    material: Array
    cut: Array
    part: tuple[str, ...]

    def cones(self, pose: Pose) -> tuple[Array, Array]:
        """Return world ends (T, P, 2, 3) of every round cone and the orientation (T, P, 3, 3) its texture follows."""
        position, orientation = self.rig.forward(pose)
        ends = position[:, self.frame] + np.einsum("tpeab,peb->tpea", orientation[:, self.frame], self.end)
        return ends, orientation[:, self.frame[:, 0]]

    def landmarks(self, pose: Pose, which: tuple[Landmark, ...]) -> Array:
        """Return world positions (T, J, 3) of landmarks."""
        position, orientation = self.rig.forward(pose)
        joint = [INDEX[mark.joint] for mark in which]
        scale = self.subject.height / 1.75
        offset = np.array([mark.offset for mark in which]) * scale
        return position[:, joint] + np.einsum("tjab,jb->tja", orientation[:, joint], offset)

    def owned(self, which: tuple[Landmark, ...]) -> Array:
        """Return (J, P) bool: the cones that are a landmark's own body part."""
        return np.array([[part in mark.own for part in self.part] for mark in which])

    def depth_within(self, which: tuple[Landmark, ...]) -> Array:
        """Return (J,) metres: how far inside its own body part a landmark can lie."""
        widest = self.radius.max(axis=1)
        surface = np.array([mark.surface for mark in which])
        inside = np.array([widest[own].max() for own in self.owned(which)])
        return np.where(surface, 0.025, 1.3 * inside + 0.01)


@dataclass(frozen=True)
class Landmark:
    """A joint of a data set's skeleton on the rig.

    offset   metres in the joint's frame, for a person of 1.75 m
    own      the cones that are this landmark's own body part: seeing one of them is seeing the landmark
    surface  it lies on the skin (eyes, ears, nose), so it is hidden when seen through the head
    """

    joint: str
    offset: tuple[float, float, float]
    own: tuple[str, ...]
    surface: bool = False


_TRUNK = ("abdomen", "left_trunk", "right_trunk")


def _limb(side: str, joint: str) -> Landmark:
    own = {
        "shoulder": ("upper_arm", "trapezius"),
        "elbow": ("upper_arm", "forearm"),
        "wrist": ("forearm", "palm", "hand"),
        "hip": ("thigh",),
        "knee": ("thigh", "shin", "calf"),
        "ankle": ("shin", "calf", "foot", "instep"),
    }[joint]
    trunk = {"shoulder": ("chest", f"{side}_trunk"), "hip": ("pelvis", f"{side}_trunk", "abdomen")}.get(joint, ())
    return Landmark(f"{side}_{joint}", (0, 0, 0), (*(f"{side}_{part}" for part in own), *trunk))


_NOSE = Landmark("head", (0, 0.033, 0.108), ("nose", "skull", "jaw"), surface=True)
_FACE = {
    "left_eye": Landmark("head", (0.033, 0.073, 0.0795), ("left_eye", "skull"), surface=True),
    "right_eye": Landmark("head", (-0.033, 0.073, 0.0795), ("right_eye", "skull"), surface=True),
    "left_ear": Landmark("head", (0.089, 0.055, 0), ("left_ear", "skull", "hair"), surface=True),
    "right_ear": Landmark("head", (-0.089, 0.055, 0), ("right_ear", "skull", "hair"), surface=True),
}

COCO_LANDMARKS: tuple[Landmark, ...] = (
    _NOSE,
    *_FACE.values(),
    *(_limb(s, j) for j in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for s in ("left", "right")),
)

# The true Human3.6M joints, where a marker-based skeleton has them, because that is what the real targets are. They
# agree with `coco_to_h36m` for limbs, pelvis (the middle of the hips) and nose (H36M's "neck/nose"), and differ as the
# real data do: the thorax is the base of the neck, some centimetres above the middle of the shoulders; the spine is a
# joint of the back between pelvis and thorax; the head is the crown, not the middle of the eyes.
H36M_LANDMARKS: tuple[Landmark, ...] = (
    Landmark("pelvis", (0, 0, 0), ("pelvis", *_TRUNK, "left_thigh", "right_thigh")),
    *(_limb("right", j) for j in ("hip", "knee", "ankle")),
    *(_limb("left", j) for j in ("hip", "knee", "ankle")),
    Landmark("chest", (0, 0, 0), (*_TRUNK, "chest", "pelvis")),
    Landmark("neck", (0, 0, 0), ("neck", "chest", "left_trapezius", "right_trapezius", "left_trunk", "right_trunk")),
    _NOSE,
    Landmark("head", (0, 0.185, 0), ("skull", "hair")),
    *(_limb("left", j) for j in ("shoulder", "elbow", "wrist")),
    *(_limb("right", j) for j in ("shoulder", "elbow", "wrist")),
)


def build_rig(subject: Subject) -> Rig:
    """Build the skeleton of a subject: shares of stature times the subject's proportions."""
    unit = subject.height / 1.75
    leg, arm, wide = unit * subject.legs, unit * subject.arms, unit * subject.shoulders
    trunk = unit * (1 - 0.52 * (subject.legs - 1) / 0.48)  # long legs, short trunk: stature stays
    ankle, ball, heel = 0.070 * leg, 0.026 * unit, 0.032 * unit
    side = {
        "clavicle": (0.02 * wide, 0.215 * trunk, 0.02 * unit),
        "shoulder": (0.148 * wide, 0.01 * trunk, -0.02 * unit),
        "elbow": (0, -0.290 * arm, 0),
        "wrist": (0, -0.256 * arm, 0),
        "hip": (0.118 * unit * subject.hips, 0, 0),
        "knee": (0, -0.435 * leg, 0),
        "ankle": (0, -0.430 * leg, 0),
        "toe": (0, ball - ankle, 0.125 * unit),
    }
    middle = {
        "pelvis": (0, 0, 0),
        "lumbar": (0, 0.090 * trunk, 0),
        "chest": (0, 0.145 * trunk, 0),
        "neck": (0, 0.255 * trunk, 0),
        "head": (0, 0.140 * trunk, 0.012 * unit),
    }
    offset = np.zeros((len(JOINTS), 3))
    for index, name in enumerate(JOINTS):
        part = name.rsplit("_", 1)[-1]
        x, y, z = middle[name] if name in middle else side[part]
        offset[index] = (-x if name.startswith("right") else x, y, z)
    flesh = {"shoulder": 0.055, "elbow": 0.042, "wrist": 0.03, "hip": 0.1, "knee": 0.055, "ankle": 0.04}
    flesh |= {"pelvis": 0.1, "lumbar": 0.1, "chest": 0.1, "neck": 0.06, "head": 0.07, "clavicle": 0.05}
    girth = subject.girth * unit
    clearance = np.array([flesh.get(name.rsplit("_", 1)[-1], 0) * girth for name in JOINTS])
    clearance[[INDEX["left_toe"], INDEX["right_toe"]]] = ball
    tip = np.array([(0, 0.185, 0), (0, -0.15, 0), (0, -0.15, 0), (0, -0.006, 0.055), (0, -0.006, 0.055)]) * unit
    tip_clearance = np.array([0, 0.02, 0.02, 0.02, 0.02]) * unit
    return Rig(offset, tip, clearance, tip_clearance, np.array([0, heel - ankle, -0.05 * unit]), heel)


def build_body(subject: Subject) -> Body:
    """Build the round cones of a subject, about thirty."""
    rig = build_rig(subject)
    unit = subject.height / 1.75
    rows: list[tuple] = []

    def add(name, start, a, ra, stop, b, rb, material=SKIN, after=None, cut=2.0) -> None:
        materials = (material, material if after is None else after)
        rows.append((name, (INDEX[start], INDEX[stop]), (a, b), (ra, rb), materials, cut))

    g = unit * subject.girth
    offset = {name: rig.offset[INDEX[name]] for name in JOINTS}
    hip, shoulder = offset["left_hip"][0], offset["left_clavicle"][0] + offset["left_shoulder"][0]
    lift = offset["left_clavicle"][1]
    front = np.array([0, 0, subject.belly * unit])
    fold = 0.004 * unit  # cloth stands off the limb

    add("pelvis", "pelvis", (-0.55 * hip, 0, 0), 0.105 * g, "pelvis", (0.55 * hip, 0, 0), 0.105 * g, BOTTOM)
    waist = 0.060 * g
    up = np.array([0, 0.02 * unit, 0])
    add(
        "abdomen", "lumbar", up + front - [waist, 0, 0], 0.092 * g, "lumbar", up + front + [waist, 0, 0], 0.092 * g, TOP
    )
    wide = 0.42 * shoulder
    add("chest", "chest", (-wide, 0.66 * lift, 0.01), 0.095 * g, "chest", (wide, 0.66 * lift, 0.01), 0.095 * g, TOP)
    add("neck", "neck", (0, -0.01, 0), 0.060 * g, "head", (0, 0.0, 0), 0.050 * g, TOP, SKIN, 0.25)
    skull = 0.078 * unit
    crown = np.array([0, 0.185 * unit - skull, 0])
    add("skull", "head", crown, skull, "head", (0, 0.045 * unit, 0.012 * unit), 0.070 * unit)
    add(
        "jaw",
        "head",
        (0, 0.045 * unit, 0.015 * unit),
        0.066 * unit,
        "head",
        (0, -0.01 * unit, 0.03 * unit),
        0.046 * unit,
    )
    thick = skull + subject.hair * unit
    nape = np.array([0, 0.055, -0.028]) * unit
    add(
        "hair",
        "head",
        crown + np.array([0, 0.002, -0.014 * unit]),
        thick,
        "head",
        nape,
        0.066 * unit + subject.hair,
        HAIR,
    )
    bridge, tip = np.array([0, 0.06, 0.078]) * unit, np.array([0, 0.035, 0.094]) * unit
    add("nose", "head", bridge, 0.009 * unit, "head", tip, 0.014 * unit)

    for side, s in (("left", 1.0), ("right", -1.0)):
        flip = np.array([s, 1, 1])
        low, high = np.array([s * 0.55 * hip, 0.02, 0]), np.array([s * 0.40 * shoulder, 0.55 * lift, 0])
        add(f"{side}_trunk", "pelvis", low, 0.098 * g, "chest", high, 0.104 * g, BOTTOM, TOP, 0.22)
        add(
            f"{side}_trapezius",
            "neck",
            (s * 0.015, -0.015, 0),
            0.055 * g,
            f"{side}_shoulder",
            (0, 0.0, 0),
            0.052 * g,
            TOP,
        )
        eye, ear = np.array([0.033, 0.073, 0.0695]) * unit, np.array([0.075, 0.055, 0]) * unit
        add(f"{side}_eye", "head", eye * flip, 0.0095 * unit, "head", eye * flip + [0, 0.0005, 0], 0.0095 * unit, EYE)
        lobe = np.array([0.072, 0.035, 0.002]) * unit
        add(f"{side}_ear", "head", ear * flip, 0.014 * unit, "head", lobe * flip, 0.010 * unit)

        arm, elbow, wrist = (f"{side}_{part}" for part in ("shoulder", "elbow", "wrist"))
        sleeve = subject.sleeve * 2
        upper, lower = offset[elbow], offset[wrist]
        add(f"{side}_upper_arm", arm, (0, 0, 0), 0.056 * g + fold, arm, upper, 0.042 * g, TOP, SKIN, sleeve)
        add(f"{side}_forearm", elbow, (0, 0, 0), 0.043 * g, elbow, lower, 0.029 * g, TOP, SKIN, sleeve - 1)
        palm = np.array([0, -0.09, 0.005]) * unit
        add(f"{side}_palm", wrist, (0, -0.01, 0), 0.030 * unit, wrist, palm, 0.034 * unit)
        add(f"{side}_hand", wrist, palm, 0.030 * unit, wrist, np.array([0, -0.15, 0.015]) * unit, 0.018 * unit)

        thigh, knee, ankle, toe = (f"{side}_{part}" for part in ("hip", "knee", "ankle", "toe"))
        trouser = subject.trouser * 2
        add(f"{side}_thigh", thigh, (0, 0, 0), 0.092 * g + fold, thigh, offset[knee], 0.058 * g, BOTTOM, SKIN, trouser)
        add(f"{side}_shin", knee, (0, 0, 0), 0.057 * g, knee, offset[ankle], 0.038 * g, BOTTOM, SKIN, trouser - 1)
        calf = np.array([0, -0.05, -0.008]) * unit, np.array([0, -0.21, -0.014]) * unit
        share = rig.shin / (0.16 * unit)
        add(f"{side}_calf", knee, calf[0], 0.052 * g, knee, calf[1], 0.046 * g, BOTTOM, SKIN, (trouser - 1.12) * share)
        ball = rig.ball_radius
        add(f"{side}_foot", ankle, rig.heel, rig.heel_radius, ankle, offset[toe], ball, SHOE)
        add(f"{side}_instep", ankle, (0, -0.01, 0), 0.038 * unit, ankle, offset[toe] + [0, 0.012, 0], 0.03 * unit, SHOE)
        end = rig.tip[TIP_JOINTS.index(INDEX[toe])]
        add(f"{side}_toes", toe, (0, 0, 0), ball, toe, end, rig.tip_clearance[3], SHOE)

    part, frame, end, radius, material, cut = zip(*rows, strict=True)
    return Body(
        subject=subject,
        rig=rig,
        frame=np.array(frame),
        end=np.array(end),
        radius=np.array(radius),
        material=np.array(material),
        cut=np.array(cut),
        part=part,
    )
