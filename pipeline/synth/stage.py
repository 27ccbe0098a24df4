"""From a clip's description to everything in front of its camera: who moves how, where, seen from where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...stores.errors import MissingFileError
from .clip import CAPTURE, Clip
from .domains import Domain, get_domain
from .motion.choice import Motion, make_motion
from .motion.mocap import MocapArchive
from .motion.retarget import captured_motion
from .motion.rich import Flesh, apart, enrich
from .motion.rig import Pose, rotation_about
from .scene.body import H36M_LANDMARKS, Body, Subject, build_body
from .scene.camera import Camera, look_at
from .scene.rooms import ROOMS, dress, hue, like
from .scene.scene import Box, Crowd, Look, Scene
from .scene.texture import Material
from .seeding import Array, Rng, Wobble, between, seeded

_TRIES = 8  # placements that are tried until most joints are in the picture


@dataclass(frozen=True)
class Walker:
    """A person in the scene: a body, its pose in every frame of the clip, in the world, and how its motion was placed
    there: turned by `yaw` radians about `about`, which came to lie at `to`."""

    body: Body
    motion: Motion
    pose: Pose
    yaw: float
    about: Array
    to: Array

    @classmethod
    def place(cls, body: Body, motion: Motion, pose: Pose, yaw: float, about: Array, to: Array) -> Walker:
        return cls(body, motion, pose.turned(yaw, about, to), yaw, about, to)


@dataclass(frozen=True)
class Stage:
    """All of a clip but its pixels. `walkers[0]` is the subject; `materials` are the people's, six each."""

    scene: Scene
    look: Look
    walkers: tuple[Walker, ...]
    materials: tuple[Material, ...]
    camera: Camera  # of all the clip's frames

    def crowd(self, frames: Array) -> tuple[Crowd, Pose]:
        """Return everybody's round cones in these frames of the clip, and the subject's pose."""
        poses = [walker.pose[frames] for walker in self.walkers]
        parts = [walker.body.cones(pose) for walker, pose in zip(self.walkers, poses, strict=True)]
        bodies = [walker.body for walker in self.walkers]
        owner = np.concatenate([np.full(len(body.cut), index) for index, body in enumerate(bodies)])
        crowd = Crowd(
            ends=np.concatenate([ends for ends, _ in parts], axis=1),
            radius=np.concatenate([body.radius for body in bodies]),
            frame=np.concatenate([frame for _, frame in parts], axis=1),
            material=np.concatenate([body.material + 6 * index for index, body in enumerate(bodies)]),
            cut=np.concatenate([body.cut for body in bodies]),
            owner=owner,
            people=len(bodies),
        )
        return crowd, poses[0]


def set_stage(clip: Clip, archive: MocapArchive | None = None) -> Stage:
    """Make everything that the clip describes, a pure function of (clip, archive).

    Raises InvalidValueError for an unknown domain or motion, MissingFileError for a captured motion without an archive.
    """
    domain = get_domain(clip.domain)
    body = subject_body(domain, clip.subject)
    seconds = clip.seconds
    motion = _motion(clip, clip.motion, body, archive)
    if clip.rich:
        limbs = _motion(clip, clip.limbs, body, archive) if clip.limbs else None
        flesh = Flesh(lambda pose: body.cones(pose)[0], body.radius, apart(body.part))
        motion = enrich(motion, limbs, body.rig, flesh, seeded("rich", domain.name, clip.split, clip.seed), seconds)
    place = ("stage", domain.name, clip.split, clip.seed)
    room = ROOMS[domain.room](seeded("room", domain.name, clip.split, clip.room))

    pose = motion.sample(seconds)
    # A person who follows with a camera in hand does so a little late and more smoothly than the subject moves.
    delays = (0.25, 0.5, 0.75) if domain.handheld[1] > 0 else ()
    late = np.mean([pose.root, *(motion.sample(np.maximum(seconds - delay, 0)).root for delay in delays)], axis=0)
    rng = seeded("placement", *place)
    best: tuple[float, Walker, Camera] | None = None
    for _ in range(_TRIES):
        walker = _placed(rng, body, motion, pose, domain)
        camera = _camera(rng, domain, clip, walker, late, room)
        score = _in_picture(camera, walker, room)
        if best is None or score > best[0]:
            best = score, walker, camera
        if score > 0.93:
            break
    assert best is not None
    _, walker, camera = best

    rng = seeded("things", *place)
    target = walker.pose.root.mean(axis=0)
    scene = room
    for index in {0, len(seconds) // 2, len(seconds) - 1}:
        scene = scene.clear(camera.centre[index], target, 1.0)
    scene = scene.adding(*_props(rng, walker))
    scene = scene.adding(*_occluders(rng, domain, camera, target))
    passers = _passers_by(seeded("passers", *place), domain, clip, camera, target)
    clothes = [
        dress(seeded("clothes", domain.name, who.body.subject.name, clip.room), domain.room)
        for who in (walker, *passers)
    ]
    look = _look(seeded("look", *place), domain)
    return Stage(scene, look, (walker, *passers), tuple(part for outfit in clothes for part in outfit), camera)


def subject_body(domain: Domain, name: str) -> Body:
    """Return the body of a subject of a domain, by name."""
    return build_body(Subject.draw(name, seeded("subject", name), domain.height, domain.girth))


def _motion(clip: Clip, name: str, body: Body, archive: MocapArchive | None) -> Motion:
    seed = (clip.domain, clip.split, clip.subject, clip.seed)
    if not name.startswith(CAPTURE):
        return make_motion(name, body.rig, *seed)
    if archive is None:
        raise MissingFileError(
            f"clip {clip.id} moves as {name!r} of the motion capture archive and none was given; "
            f"give the archive, or plan the clips without it"
        )
    return captured_motion(archive.read(name.removeprefix(CAPTURE)), body.rig, *seed)


def _placed(rng: Rng, body: Body, motion: Motion, pose: Pose, domain: Domain) -> Walker:
    """The motion turned at random, its middle at the origin; along the street where it goes far."""
    path = pose.root * [1, 0, 1]
    yaw = between(rng, (-np.pi, np.pi))
    gone = path[-1] - path[0]
    if domain.room == "street" and np.linalg.norm(gone) > 1.5:
        along = float(rng.choice([0, np.pi])) + between(rng, (-0.35, 0.35))
        yaw = along - float(np.arctan2(gone[0], gone[2]))
    return Walker.place(body, motion, pose, yaw, (path.min(axis=0) + path.max(axis=0)) / 2, np.zeros(3))


def _camera(rng: Rng, domain: Domain, clip: Clip, walker: Walker, late: Array, room: Scene) -> Camera:
    """A camera of the room, or one carried by a person who keeps the subject in view."""
    seconds = clip.seconds
    own = seeded("camera", domain.name, clip.split, clip.room, clip.camera) if domain.cameras else rng
    step = 2 * np.pi / max(domain.cameras, 1)
    azimuth = (
        clip.camera * step
        + between(own, (0, 2 * np.pi) if not domain.cameras else (-0.2 * step, 0.2 * step))
        + step / 2
    )
    height, distance = between(own, domain.camera_height), between(own, domain.distance)
    focal, roll = between(own, domain.focal), np.radians(between(own, domain.roll))
    shift = own.uniform(-0.01, 0.01, 2)
    path = walker.pose.root
    spread = np.linalg.norm((path - path.mean(axis=0))[:, [0, 2]], axis=1).max()
    shake = between(own, domain.handheld)
    follow = np.zeros_like(path)
    if shake > 0:
        turned = (late - walker.about) @ rotation_about(1, np.array(walker.yaw)).T + walker.to
        follow = turned * [1, 0, 1] * between(own, (0.75, 1.0))
        spread *= 0.3
    away = np.array([np.sin(azimuth), 0, np.cos(azimuth)]) * (distance + 0.5 * spread)
    curve = Wobble.draw(own, 7, 0.15, 1.1)(seconds) * shake
    eye = follow + away + [0, height, 0] + curve[:, :3] * [0.05, 0.03, 0.05]
    eye = np.clip(eye, np.array(room.low) + 0.25, np.array(room.high) - 0.25)
    target = follow + [0, between(own, domain.aim), 0] + curve[:, 3:6] * [0.06, 0.05, 0.06]
    target[:, [0, 2]] += own.uniform(-0.15, 0.15, 2)
    # A person who lies or sits is lower than `aim` expects.
    target[:, 1] += 0.6 * (path[:, 1].mean() - walker.body.rig.standing)
    rotation, translation = look_at(eye, target, roll + np.radians(1.2) * curve[:, 6])
    size = clip.size
    centre = size * (0.5 + shift)
    return Camera(size, size, focal * size, focal * size, centre[0], centre[1], rotation, translation)


def _in_picture(camera: Camera, walker: Walker, room: Scene) -> float:
    """Share of joints in the picture, less what is too near or outside the room."""
    index = np.linspace(0, len(walker.pose) - 1, min(len(walker.pose), 12)).astype(int)
    world = walker.body.landmarks(walker.pose[index], H36M_LANDMARKS)
    seen = camera[index].to_camera(world)
    pixel = camera.project(seen)
    with np.errstate(invalid="ignore"):
        inside = (pixel > 0).all(-1) & (pixel < camera.width).all(-1) & (seen[..., 2] > 1.2)
    within = (world > np.array(room.low) - [0, 1, 0]).all(-1) & (world < np.array(room.high)).all(-1)
    return float((inside & within).mean())


def _props(rng: Rng, walker: Walker) -> tuple[tuple[Box, ...], tuple[Material, ...]]:
    """The motion's furniture, put where the motion is."""
    turn = rotation_about(1, np.array(walker.yaw))
    boxes = []
    for prop in walker.motion.props:
        centre = turn @ (np.array(prop.centre) - walker.about) + walker.to
        boxes.append(Box((float(centre[0]), float(centre[1]), float(centre[2])), prop.half, walker.yaw, 0))
    return tuple(boxes), (_furniture(rng),)


def _furniture(rng: Rng) -> Material:
    """Wood, painted or covered."""
    first = like(rng, (0.32, 0.22, 0.14), 0.6) if rng.random() < 0.5 else hue(rng, (0.05, 0.5), (0.08, 0.6))
    return Material(first, like(rng, first, 0.4), str(rng.choice(["planks", "plain", "noise", "pinstripes"])), 0.6)


def _occluders(rng: Rng, domain: Domain, camera: Camera, target: Array) -> tuple[tuple[Box, ...], tuple[Material, ...]]:
    """Things between the camera and the person: low ones that hide the legs up to somewhere, or posts."""
    boxes = []
    eye = camera.centre[0]
    if rng.random() < domain.occluder:
        share = between(rng, (0.5, 0.75))
        line = target - eye
        sideways = np.array([line[2], 0, -line[0]]) / np.hypot(line[0], line[2])
        spot = eye + share * line + sideways * between(rng, (-0.45, 0.45))
        if rng.random() < 0.3:
            half = (between(rng, (0.03, 0.07)), 1.3, between(rng, (0.03, 0.07)))
        else:
            hides = between(rng, (0.2, 0.9)) * target[1]  # how far up the person its upper edge is in the picture
            top = max(eye[1] + (hides - eye[1]) * share, 0.15)
            half = (between(rng, (0.15, 0.45)), top / 2, between(rng, (0.1, 0.3)))
        boxes.append(Box((float(spot[0]), half[1], float(spot[2])), half, between(rng, (-1.5, 1.5)), 0))
    return tuple(boxes), (_furniture(rng),)


def _passers_by(rng: Rng, domain: Domain, clip: Clip, camera: Camera, target: Array) -> tuple[Walker, ...]:
    """People who cross the view in front of the subject or behind."""
    walkers = []
    seconds = clip.seconds
    for index in range(int(rng.integers(domain.passers_by[0], domain.passers_by[1] + 1))):
        name = f"{domain.name}-{clip.split}-passer-{clip.seed}-{index}"
        body = subject_body(domain, name)
        motion = make_motion("stroll", body.rig, name)
        when = int(rng.integers(len(seconds)))
        share = between(rng, (0.5, 0.78)) if rng.random() < 0.5 else between(rng, (1.4, 2.4))
        eye = camera.centre[when]
        ahead = camera.rotation[when, 2] * [1, 0, 1]
        ahead = ahead / np.linalg.norm(ahead)
        distance = float(np.linalg.norm((target - eye)[[0, 2]]))
        to = eye * [1, 0, 1] + share * distance * ahead
        pose = motion.sample(seconds)
        gone = np.diff(motion.sample(seconds[when] + np.array([0.0, 0.5])).root, axis=0)[0]
        across = (
            float(np.arctan2(ahead[0], ahead[2])) + float(rng.choice([-1, 1])) * np.pi / 2 + between(rng, (-0.5, 0.5))
        )
        yaw = across - float(np.arctan2(gone[0], gone[2]))
        walkers.append(Walker.place(body, motion, pose, yaw, pose.root[when] * [1, 0, 1], to))
    return tuple(walkers)


def _look(rng: Rng, domain: Domain) -> Look:
    warm = between(rng, domain.warmth) ** 0.5
    return Look(
        exposure=between(rng, domain.exposure),
        balance=(warm, 1.0, 1 / warm),
        blur=between(rng, domain.blur),
        noise=between(rng, domain.noise),
        vignette=between(rng, domain.vignette),
    )
