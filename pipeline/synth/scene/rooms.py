"""Where people move: four kinds of place, and the clothes people wear there, drawn from a seed."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Mapping

import numpy as np

from ..seeding import Rng, between
from .scene import Box, Light, Pole, Scene
from .texture import Colour, Material

_SKIN: tuple[Colour, ...] = (
    (0.72, 0.48, 0.37),
    (0.62, 0.39, 0.28),
    (0.50, 0.29, 0.19),
    (0.34, 0.19, 0.12),
    (0.20, 0.11, 0.07),
)
_HAIR: tuple[Colour, ...] = (
    (0.03, 0.02, 0.02),
    (0.10, 0.06, 0.03),
    (0.22, 0.13, 0.06),
    (0.55, 0.42, 0.22),
    (0.45, 0.45, 0.45),
)
_CLOTH = ("plain", "plain", "plain", "noise", "stripes", "pinstripes", "checks", "plaid", "dots", "blotches", "picture")


def hue(
    rng: Rng, saturation: tuple[float, float], value: tuple[float, float], avoid: tuple[float, float] = (2, 2)
) -> Colour:
    """Draw a random colour; hues between the two of `avoid` are not taken."""
    hue = rng.random()
    while avoid[0] < hue < avoid[1]:
        hue = rng.random()
    return colorsys.hsv_to_rgb(hue, between(rng, saturation), between(rng, value))


def like(rng: Rng, colour: Colour, spread: float = 0.12) -> Colour:
    bright = float(np.exp(rng.normal(0, spread)))
    red, green, blue = (
        float(np.clip(part * bright * np.exp(rng.normal(0, spread / 4)), 0.01, 0.95)) for part in colour
    )
    return red, green, blue


def dress(rng: Rng, kind: str) -> tuple[Material, ...]:
    """Draw skin, hair, top, bottom, shoe and eye materials of one person, in the order of `body.MATERIALS`."""
    avoid = (0.2, 0.5) if kind == "greenscreen" else (2.0, 2.0)
    vivid = (0.5, 0.95) if kind == "gym" else (0.1, 0.75)

    def cloth(value: tuple[float, float]) -> Material:
        first = hue(rng, vivid, value, avoid)
        second = hue(rng, vivid, (0.03, 0.8), avoid) if rng.random() < 0.6 else like(rng, first, 0.5)
        return Material(first, second, str(rng.choice(_CLOTH)), between(rng, (0.25, 0.7)), 0.25)

    skin = like(rng, _SKIN[rng.integers(len(_SKIN))], 0.08)
    hair = like(rng, _HAIR[rng.choice(len(_HAIR), p=(0.35, 0.3, 0.18, 0.1, 0.07))])
    dark = rng.random() < 0.7  # trousers are mostly dark
    return (
        Material(skin, like(rng, skin, 0.1), "noise", 0.3, 0.1),
        Material(hair, like(rng, hair, 0.5), "speckle", 0.15, 0.3),
        cloth((0.08, 0.85)),
        cloth((0.03, 0.2) if dark else (0.1, 0.6)),
        Material(like(rng, (0.05, 0.05, 0.06)) if rng.random() < 0.5 else hue(rng, (0, 0.5), (0.2, 0.8)), grain=0.3),
        Material((0.04, 0.03, 0.03)),
    )


def _lamp(rng: Rng, height: tuple[float, float], strength: tuple[float, float], warm: tuple[float, float]) -> Light:
    """A lamp `height` degrees above the horizon; `warm` is red over blue."""
    up, round_ = np.radians(between(rng, height)), between(rng, (-np.pi, np.pi))
    towards = np.array([np.cos(up) * np.sin(round_), np.sin(up), np.cos(up) * np.cos(round_)])
    key, tint = between(rng, strength), between(rng, warm) ** 0.5
    rest = between(rng, (0.40, 0.62))
    return Light(
        towards,
        (key * tint, key, key / tint),
        (rest * 0.97, rest, rest * 1.04),
        (rest * 0.58, rest * 0.52, rest * 0.46),
    )


def _along_walls(
    rng: Rng, half: tuple[float, float], count: int, kinds: tuple[int, ...], tall: tuple[float, float]
) -> list[Box]:
    """Furniture against the four walls of a room that extends from -half to +half."""
    boxes = []
    for _ in range(count):
        side = int(rng.integers(4))
        width, deep, high = between(rng, (0.25, 0.9)), between(rng, (0.15, 0.4)), between(rng, tall) / 2
        across = between(rng, (-1, 1))
        x, z = (
            (across * (half[0] - width), half[1] - deep - 0.05),
            (half[0] - deep - 0.05, across * (half[1] - width)),
        )[side % 2]
        sign = 1 if side < 2 else -1
        size = (width, high, deep) if side % 2 == 0 else (deep, high, width)
        centre = (x, high, sign * z) if side % 2 == 0 else (sign * x, high, z)
        boxes.append(Box(centre, size, between(rng, (-0.06, 0.06)), int(rng.choice(kinds))))
    return boxes


def _pictures(rng: Rng, half: tuple[float, float], count: int, kind: int) -> list[Box]:
    boxes = []
    for _ in range(count):
        side, across = int(rng.integers(4)), between(rng, (-0.8, 0.8))
        width, high, up = between(rng, (0.25, 0.8)), between(rng, (0.2, 0.5)), between(rng, (1.3, 2.0))
        sign = 1 if side < 2 else -1
        if side % 2 == 0:
            boxes.append(Box((across * half[0], up, sign * (half[1] - 0.02)), (width, high, 0.02), 0.0, kind))
        else:
            boxes.append(Box((sign * (half[0] - 0.02), up, across * half[1]), (0.02, high, width), 0.0, kind))
    return boxes


def _studio(rng: Rng) -> Scene:
    half = (between(rng, (4.6, 5.6)), between(rng, (5.0, 6.2)))
    wall = like(rng, (0.42, 0.40, 0.37), 0.25)
    materials = (
        Material(
            like(rng, (0.36, 0.25, 0.18), 0.3),
            like(rng, (0.22, 0.15, 0.11), 0.3),
            str(rng.choice(["speckle", "noise", "planks"])),
            1.4,
            0.2,
        ),
        Material(wall, like(rng, wall, 0.2), str(rng.choice(["plain", "pinstripes", "noise"])), 1.1, 0.2),
        Material((0.7, 0.7, 0.68)),
        Material(like(rng, (0.05, 0.06, 0.10), 0.5), (0.12, 0.12, 0.16), "pinstripes", 1.2, 0.5),
        Material(like(rng, (0.25, 0.16, 0.09), 0.4), (0.15, 0.10, 0.06), "planks", 0.8, 0.3),
        Material(hue(rng, (0.2, 0.6), (0.1, 0.5)), (0.6, 0.6, 0.6), "picture", 0.9),
    )
    curtain = [1, 1, 3, 3][:4]
    rng.shuffle(curtain)
    boxes = _along_walls(rng, half, int(rng.integers(4, 8)), (4, 5, 3), (0.5, 1.9)) + _pictures(rng, half, 4, 5)
    faces = (curtain[0], curtain[1], 0, 2, curtain[2], curtain[3])
    return Scene(
        (-half[0], 0, -half[1]),
        (half[0], 3.6, half[1]),
        faces,
        materials,
        _lamp(rng, (55, 85), (0.5, 0.8), (1.0, 1.25)),
        tuple(boxes),
    )


def _greenscreen(rng: Rng) -> Scene:
    half = (between(rng, (4.4, 5.4)), between(rng, (4.4, 5.4)))
    green = colorsys.hsv_to_rgb(between(rng, (0.31, 0.38)), between(rng, (0.7, 0.9)), between(rng, (0.4, 0.6)))
    materials = (
        Material(green, like(rng, green, 0.06), "noise", 3.0, 0.12),
        Material(like(rng, green, 0.05), like(rng, green, 0.08), "pinstripes", 4.0, 0.15),
        Material((0.07, 0.07, 0.08), (0.25, 0.25, 0.25), "tiles", 2.4),
        Material((0.10, 0.10, 0.11), (0.3, 0.3, 0.3), "speckle", 0.8),
    )
    boxes = _along_walls(rng, half, int(rng.integers(0, 3)), (3,), (0.6, 2.2))
    poles = tuple(
        Pole(((x, 0.0, z), (x, 2.6, z)), (0.03, 0.03), 3)
        for x, z in rng.uniform(-0.9, 0.9, (int(rng.integers(0, 3)), 2)) * half
        if np.hypot(x, z) > 3
    )
    return Scene(
        (-half[0], 0, -half[1]),
        (half[0], 4.2, half[1]),
        (1, 1, 0, 2, 1, 1),
        materials,
        _lamp(rng, (50, 85), (0.25, 0.5), (0.95, 1.1)),
        tuple(boxes),
        poles,
    )


def _street(rng: Rng) -> Scene:
    wide, long = between(rng, (7, 14)), between(rng, (26, 40))
    ground = str(rng.choice(["tiles", "speckle", "bricks", "grass"]))
    pale = like(rng, (0.28, 0.27, 0.25), 0.2) if ground != "grass" else like(rng, (0.16, 0.24, 0.07), 0.15)
    facade = like(rng, (0.50, 0.40, 0.32), 0.25)
    sky = (0.45, 0.62, 0.95) if rng.random() < 0.6 else (0.75, 0.78, 0.82)
    materials = (
        Material(pale, tuple(0.55 * part for part in pale), ground, between(rng, (1.2, 3.0)), 0.35),  # type: ignore[arg-type]
        Material(facade, (0.08, 0.10, 0.14), "windows", between(rng, (7, 11)), 0.2),
        Material(like(rng, (0.45, 0.22, 0.15), 0.2), (0.5, 0.47, 0.44), "bricks", 1.6, 0.3),
        Material(sky, (0.9, 0.92, 0.95), "clouds", 40.0, 0.1, glow=True),
        Material(hue(rng, (0.3, 0.9), (0.1, 0.7)), (0.05, 0.05, 0.06), "windows", 4.5, 0.1),
        Material((0.13, 0.09, 0.06), (0.07, 0.05, 0.03), "noise", 0.5),
        Material((0.08, 0.18, 0.05), (0.22, 0.34, 0.10), "grass", 0.7, 0.5),
        Material((0.30, 0.31, 0.32), (0.1, 0.1, 0.1), "speckle", 0.6),
    )
    boxes, poles = [], []
    for _ in range(int(rng.integers(3, 7))):  # parked cars and vans, kiosks
        side, high = rng.choice([-1, 1]), between(rng, (0.65, 1.1))
        boxes.append(
            Box(
                (float(side) * (wide - between(rng, (1.2, 2.2))), high, between(rng, (-0.8, 0.8)) * long),
                (0.9, high, 2.1),
                between(rng, (-0.05, 0.05)),
                int(rng.choice([4, 7])),
            )
        )
    for _ in range(int(rng.integers(1, 5))):  # low walls, bins, benches
        side = rng.choice([-1, 1])
        boxes.append(
            Box(
                (float(side) * between(rng, (3.0, wide - 0.5)), 0.4, between(rng, (-10, 10))),
                (between(rng, (0.3, 1.2)), 0.4, between(rng, (0.2, 0.5))),
                between(rng, (-0.6, 0.6)),
                int(rng.choice([2, 5, 7])),
            )
        )
    for _ in range(int(rng.integers(2, 6))):  # trees and lamp posts
        x, z = float(rng.choice([-1, 1])) * between(rng, (5.0, wide - 0.6)), between(rng, (-16, 16))
        if rng.random() < 0.6:
            high, size = between(rng, (2.4, 3.4)), between(rng, (0.8, 1.2))
            poles.append(Pole(((x, 0.0, z), (x, high, z)), (0.16, 0.11), 5))
            poles.append(Pole(((x, high + 0.5 * size, z), (x + 0.2, high + 1.3 * size, z)), (size, 0.7 * size), 6))
        else:
            poles.append(Pole(((x, 0.0, z), (x, between(rng, (3.5, 5.5)), z)), (0.07, 0.05), 7))
    skyline = between(rng, (5, 14))
    light = _lamp(rng, (25, 65), (0.7, 1.3), (1.0, 1.3))
    return Scene(
        (-wide, 0, -long),
        (wide, 30.0, long),
        (1, int(rng.choice([1, 2])), 0, 3, 1, 2),
        materials,
        light,
        tuple(boxes),
        tuple(poles),
        skyline,
        3,
    )


def _gym(rng: Rng) -> Scene:
    half = (between(rng, (4.0, 5.5)), between(rng, (4.0, 5.5)))
    wall = like(rng, (0.62, 0.62, 0.60), 0.12)
    stripe = hue(rng, (0.5, 0.9), (0.3, 0.7))
    materials = (
        Material(like(rng, (0.07, 0.07, 0.08), 0.3), (0.35, 0.36, 0.40), "speckle", 1.1, 0.25),
        Material(wall, stripe, "stripes" if rng.random() < 0.4 else "plain", 7.2, 0.15),
        Material((0.5, 0.5, 0.5), (0.2, 0.2, 0.2), "tiles", 2.4),
        Material(stripe, like(rng, stripe, 0.2), "noise", 0.9, 0.2),
        Material((0.12, 0.12, 0.13), (0.4, 0.4, 0.42), "pinstripes", 0.9),
        Material(like(rng, (0.45, 0.30, 0.16), 0.2), (0.30, 0.19, 0.10), "planks", 1.0, 0.2),
    )
    mat = Box((0.0, 0.006, 0.0), (between(rng, (0.8, 1.4)), 0.006, between(rng, (0.8, 1.4))), between(rng, (-1, 1)), 3)
    boxes = [
        mat,
        *_along_walls(rng, half, int(rng.integers(5, 10)), (3, 4, 5), (0.4, 2.2)),
        *_pictures(rng, half, 3, 4),
    ]
    poles = []
    for _ in range(int(rng.integers(1, 4))):  # racks with bars
        x, z, up = (
            between(rng, (-0.8, 0.8)) * half[0],
            float(rng.choice([-1, 1])) * (half[1] - 0.8),
            between(rng, (0.9, 2.2)),
        )
        for dx in (-0.6, 0.6):
            poles.append(Pole(((x + dx, 0.0, z), (x + dx, 2.3, z)), (0.04, 0.04), 4))
        poles.append(Pole(((x - 0.9, up, z), (x + 0.9, up, z)), (0.02, 0.021), 4))
        for dx in (-0.85, 0.85):
            poles.append(Pole(((x + dx - 0.03, up, z), (x + dx + 0.03, up, z)), (0.2, 0.19), 4))
    return Scene(
        (-half[0], 0, -half[1]),
        (half[0], 3.4, half[1]),
        (1, 1, 0, 2, 1, 1),
        materials,
        _lamp(rng, (55, 85), (0.4, 0.7), (0.95, 1.15)),
        tuple(boxes),
        tuple(poles),
    )


ROOMS: Mapping[str, Callable[[Rng], Scene]] = {
    "studio": _studio,
    "greenscreen": _greenscreen,
    "street": _street,
    "gym": _gym,
}
