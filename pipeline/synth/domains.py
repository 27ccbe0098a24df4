"""The four domains: they differ from one another as the paper's four data sets do.

| domain      | as in        | what sets it apart                                                              |
|-------------|--------------|---------------------------------------------------------------------------------|
| studio      | Human3.6M    | four fixed cameras at 3.5 to 5 m and head height, everyday acts, furniture      |
| greenscreen | MPI-INF-3DHP | many heights and angles, wide lenses, athletic poses, a green room              |
| street      | 3DPW         | a camera carried by hand, daylight, passers-by who cover the person             |
| gym         | Fit3D        | exercises, much of it on the floor, fixed cameras a little above, sports clothes|
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from ...stores.errors import InvalidValueError

Range = tuple[float, float]


@dataclass(frozen=True)
class Domain:
    """Ranges from which a clip is drawn. Lengths in metres, angles in degrees, durations in seconds.

    motions     name of a procedural motion -> how often; captures: the beginning of an archive's names -> how often,
                used where an archive is at hand
    focal       focal length over image width
    handheld    how much the camera moves: 0 stands still, 1 is carried by hand
    cameras     how many cameras a room has; 0: every clip has its own
    occluder    chance that something stands between camera and person; passers_by: how many people walk by
    subjects    how many people a split has; rooms: how many places; the two splits share neither
    """

    name: str
    room: str
    motions: Mapping[str, float]
    captures: Mapping[str, float]
    camera_height: Range
    distance: Range
    focal: Range
    aim: Range
    roll: Range
    handheld: Range
    cameras: int
    height: Range
    girth: Range
    occluder: float
    passers_by: tuple[int, int]
    exposure: Range
    warmth: Range
    blur: Range
    noise: Range
    vignette: Range
    subjects: Mapping[str, int]
    rooms: Mapping[str, int]


DOMAINS: Mapping[str, Domain] = {
    domain.name: domain
    for domain in (
        Domain(
            name="studio",
            room="studio",
            motions={"walk": 4, "gesture": 3, "sit": 3, "sit_down": 2, "reach": 2, "wave": 1, "turn": 1, "crouch": 1},
            captures={"walking/": 3, "directing_traffic": 3, "basketball_signal": 2},
            camera_height=(1.35, 1.65),
            distance=(3.4, 4.8),
            focal=(1.12, 1.17),  # Human3.6M: 1145 px over 1000
            aim=(0.85, 1.05),
            roll=(-1, 1),
            handheld=(0, 0),
            cameras=4,
            height=(1.55, 1.92),
            girth=(0.88, 1.12),
            occluder=0.3,
            passers_by=(0, 0),
            exposure=(0.75, 1.0),
            warmth=(1.05, 1.3),
            blur=(0.05, 0.15),
            noise=(0.005, 0.015),
            vignette=(0.0, 0.2),
            subjects={"train": 5, "test": 2},
            rooms={"train": 6, "test": 3},
        ),
        Domain(
            name="greenscreen",
            room="greenscreen",
            motions={
                "kick": 3,
                "jumping_jack": 2,
                "lunge": 2,
                "reach": 2,
                "run": 1,
                "walk": 1,
                "crouch": 2,
                "lie": 1,
                "gesture": 1,
                "sit": 1,
            },
            captures={"jumping": 3, "running": 2, "basketball/": 2},
            camera_height=(0.4, 3.3),
            distance=(2.9, 4.2),
            focal=(0.68, 0.80),  # MPI-INF-3DHP: about 1500 px over 2048
            aim=(0.7, 1.05),
            roll=(-4, 4),
            handheld=(0, 0),
            cameras=8,
            height=(1.58, 1.92),
            girth=(0.88, 1.15),
            occluder=0.0,
            passers_by=(0, 0),
            exposure=(0.85, 1.25),
            warmth=(0.9, 1.1),
            blur=(0.0, 0.1),
            noise=(0.004, 0.012),
            vignette=(0.0, 0.15),
            subjects={"train": 6, "test": 3},
            rooms={"train": 4, "test": 2},
        ),
        Domain(
            name="street",
            room="street",
            motions={"stroll": 5, "jog": 2, "gesture": 2, "sit": 1, "reach": 1, "wave": 1, "turn": 1},
            captures={"walking/": 2, "walking_extra": 3, "running": 1},
            camera_height=(1.4, 1.75),
            distance=(2.6, 5.0),
            focal=(0.95, 1.10),
            aim=(0.8, 1.15),
            roll=(-3, 3),
            handheld=(0.7, 1.3),
            cameras=0,
            height=(1.52, 1.95),
            girth=(0.88, 1.25),
            occluder=0.4,
            passers_by=(1, 3),
            exposure=(0.7, 1.2),
            warmth=(0.85, 1.2),
            blur=(0.05, 0.2),
            noise=(0.006, 0.02),
            vignette=(0.0, 0.3),
            subjects={"train": 12, "test": 6},
            rooms={"train": 12, "test": 6},
        ),
        Domain(
            name="gym",
            room="gym",
            motions={
                "crouch": 4,
                "push_up": 3,
                "sit_up": 3,
                "lunge": 3,
                "jumping_jack": 2,
                "lie": 3,
                "reach": 1,
                "kick": 1,
            },
            captures={"jumping": 1},
            camera_height=(1.5, 2.4),
            distance=(3.4, 4.6),
            focal=(1.20, 1.35),  # Fit3D: about 1150 px over 900
            aim=(0.6, 0.85),
            roll=(-1, 1),
            handheld=(0, 0),
            cameras=4,
            height=(1.55, 1.92),
            girth=(0.85, 1.15),
            occluder=0.3,
            passers_by=(0, 0),
            exposure=(0.8, 1.15),
            warmth=(0.95, 1.15),
            blur=(0.03, 0.12),
            noise=(0.004, 0.014),
            vignette=(0.0, 0.2),
            subjects={"train": 6, "test": 2},
            rooms={"train": 6, "test": 3},
        ),
    )
}

SPLITS = ("train", "test")


def get_domain(name: str) -> Domain:
    """Return the domain of that name; InvalidValueError names the nearest for one that there is not."""
    if name not in DOMAINS:
        near = get_close_matches(name, DOMAINS, n=1, cutoff=0)[0]
        raise InvalidValueError(f"no domain named {name!r}; did you mean {near!r}? There are: {', '.join(DOMAINS)}")
    return DOMAINS[name]
