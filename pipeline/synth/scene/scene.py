"""What a scene is: a closed room, boxes and poles in it, light, materials; everything that stands still."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..seeding import Array
from .texture import Colour, Material


@dataclass(frozen=True)
class Light:
    """One distant lamp and the light from all round. Colours are linear; 1 makes a white surface white.

    towards  (3,) unit vector to the lamp, world frame, y > 0
    key      the lamp; above and below: the surroundings seen by a surface that faces up and one that faces down
    """

    towards: Array
    key: Colour
    above: Colour
    below: Colour


@dataclass(frozen=True)
class Box:
    """A box that stands upright: centre and half size in metres, turned about the vertical by `yaw` radians."""

    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    yaw: float
    material: int

    @property
    def axes(self) -> Array:
        """Return (3, 3) rows: its own x, y, z in the world."""
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        return np.array([(cos, 0, -sin), (0, 1, 0), (sin, 0, cos)])


@dataclass(frozen=True)
class Pole:
    """A round cone that stands still: a lamp post, a trunk, the crown of a tree."""

    ends: tuple[tuple[float, float, float], tuple[float, float, float]]
    radius: tuple[float, float]
    material: int


@dataclass(frozen=True)
class Scene:
    """A closed world, so that every ray hits something and every depth is finite.

    low, high  corners of the room in metres, world frame; the floor is y = 0 = low[1]
    faces      materials of the faces -x, +x, floor, ceiling, -z, +z
    skyline    metres above which the walls show `sky`, a material; infinite indoors
    """

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    faces: tuple[int, int, int, int, int, int]
    materials: tuple[Material, ...]
    light: Light
    boxes: tuple[Box, ...] = ()
    poles: tuple[Pole, ...] = ()
    skyline: float = float("inf")
    sky: int = 0

    def adding(self, boxes: tuple[Box, ...], materials: tuple[Material, ...]) -> Scene:
        """Return the same scene with more boxes, whose materials count from 0 in `materials`."""
        moved = tuple(replace(box, material=box.material + len(self.materials)) for box in boxes)
        return replace(self, boxes=self.boxes + moved, materials=self.materials + materials)

    def clear(self, eye: Array, target: Array, width: float) -> Scene:
        """Return the same scene without boxes and poles within `width` metres of the line of sight or the camera."""

        def away(centre: Array, size: float) -> bool:
            line, point = (target - eye)[[0, 2]], (centre - eye)[[0, 2]]
            share = np.clip(point @ line / (line @ line), 0, 1)
            return bool(np.linalg.norm(point - share * line) > width + size)

        boxes = tuple(
            box for box in self.boxes if away(np.array(box.centre), float(np.hypot(box.half[0], box.half[2])))
        )
        poles = tuple(pole for pole in self.poles if away(np.array(pole.ends).mean(axis=0), max(pole.radius)))
        return replace(self, boxes=boxes, poles=poles)


@dataclass(frozen=True)
class Look:
    """What a camera does to light.

    exposure  all channels; balance (r, g, b) the colour temperature
    blur      share of a pixel's light that its four neighbours get each way, 0..0.3
    noise     standard deviation, in grey levels of 0..1 after tone mapping
    vignette  loss of light in the corners
    """

    exposure: float = 1.0
    balance: Colour = (1.0, 1.0, 1.0)
    blur: float = 0.1
    noise: float = 0.01
    vignette: float = 0.1


@dataclass(frozen=True)
class Crowd:
    """Everybody's round cones in a few frames, N of them, world frame.

    ends      (T, N, 2, 3) and radius (N, 2), metres
    frame     (T, N, 3, 3) what the texture follows
    material  (N, 2) and cut (N,) as in `Body`, six materials a person
    owner     (N,) 0 for the subject, whose cones come first, 1.. for passers-by
    """

    ends: Array
    radius: Array
    frame: Array
    material: Array
    cut: Array
    owner: Array
    people: int = field(default=1)
