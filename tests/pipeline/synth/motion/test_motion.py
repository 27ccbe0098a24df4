"""Procedural people move like people: within their joints' limits, smoothly, on the floor, at any frame rate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from auglift.pipeline.synth.motion.choice import MOTIONS, make_motion
from auglift.pipeline.synth.motion.rig import INDEX, JOINTS, LIMITS, Pose, limb_rotations, local_rotations
from auglift.pipeline.synth.scene.body import Body, Subject, build_body
from auglift.pipeline.synth.seeding import seeded
from auglift.stores.errors import AugliftError, InvalidValueError

SEEDS = (0, 1, 2)
ON_FOOT = ("walk", "stroll", "run", "jog", "turn")
STANDING = ("reach", "wave", "gesture", "crouch", "sit", "sit_down")


def person(seed: int) -> Body:
    return build_body(Subject.draw(f"p{seed}", seeded("test", seed), (1.5, 1.95), (0.85, 1.2)))


def sample(name: str, seed: int, fps: float = 30.0, duration: float = 6.0) -> tuple[Body, Pose, np.ndarray]:
    body = person(seed)
    pose = make_motion(name, body.rig, seed).sample(np.arange(0, duration, 1 / fps))
    return body, pose, body.rig.forward(pose)[0]


def joint(position: np.ndarray, name: str) -> np.ndarray:
    return position[:, INDEX[name]]


@pytest.mark.parametrize("name", MOTIONS)
def test_joint_limits_hold(name: str) -> None:
    mirrored = {"shoulder", "elbow", "wrist", "hip", "knee", "ankle", "toe", "clavicle"}
    for seed in SEEDS:
        _, pose, _ = sample(name, seed)
        for index, joint_name in enumerate(JOINTS):
            part = joint_name.rsplit("_", 1)[-1]
            if part not in LIMITS or part in ("shoulder", "clavicle"):
                continue  # a shoulder's angles are not unique past 90 degrees of abduction
            angles = Rotation.from_matrix(pose.rotation[:, index]).as_euler("XZY", degrees=True)
            side = -1 if joint_name.startswith("right") else 1
            flexion = angles[:, 0] * (-1 if part in mirrored - {"knee"} else 1)
            abduction = angles[:, 1] * (side if part in mirrored else -1)
            twist = angles[:, 2] * (-side if part in mirrored else 1)
            for angle, (low, high) in zip((flexion, abduction, twist), LIMITS[part], strict=True):
                assert angle.min() >= low - 0.01, (name, seed, joint_name)
                assert angle.max() <= high + 0.01, (name, seed, joint_name)


@pytest.mark.parametrize("name", MOTIONS)
def test_knees_bend_backwards_and_elbows_forwards(name: str) -> None:
    for seed in SEEDS:
        body, pose, position = sample(name, seed)
        _, orientation = body.rig.forward(pose)
        for side in ("left", "right"):
            front = orientation[:, INDEX[f"{side}_hip"], :, 2]
            shin = joint(position, f"{side}_ankle") - joint(position, f"{side}_knee")
            assert ((shin * front).sum(-1) <= 1e-6).all()
            front = orientation[:, INDEX[f"{side}_shoulder"], :, 2]
            forearm = joint(position, f"{side}_wrist") - joint(position, f"{side}_elbow")
            assert ((forearm * front).sum(-1) >= -1e-6).all()


@pytest.mark.parametrize("name", MOTIONS)
def test_nobody_sinks_into_the_floor_or_hovers(name: str) -> None:
    for seed in SEEDS:
        body, pose, _ = sample(name, seed)
        ends, _ = body.cones(pose)
        lowest = (ends[..., 1] - body.radius).min(axis=(1, 2))
        assert lowest.min() > -0.02  # flesh gives
        highest = 0.12 if name in ("run", "jog", "jumping_jack") else 0.02
        assert lowest.max() < highest


@pytest.mark.parametrize("name", MOTIONS)
def test_movement_is_smooth(name: str) -> None:
    for seed in SEEDS:
        _, _, position = sample(name, seed, fps=200, duration=5)
        speed = np.linalg.norm(np.diff(position, axis=0), axis=-1) * 200
        assert speed.max() < 12  # metres a second
        jump = np.abs(np.diff(speed, axis=0)).max()
        assert jump < 2.0, (name, seed, jump)  # no joint changes its speed by so much in 5 ms


@pytest.mark.parametrize("name", MOTIONS)
def test_any_frame_rate_samples_the_same_movement(name: str) -> None:
    _, slow, _ = sample(name, 1, fps=12.5)
    _, fast, _ = sample(name, 1, fps=50)
    np.testing.assert_allclose(fast.root[::4], slow.root, atol=1e-9)
    np.testing.assert_allclose(fast.rotation[::4], slow.rotation, atol=1e-9)


@pytest.mark.parametrize("name", MOTIONS)
def test_a_seed_means_one_movement_and_another_seed_another(name: str) -> None:
    body = person(0)
    seconds = np.linspace(0, 4, 30)
    first, again, other = (make_motion(name, body.rig, seed).sample(seconds) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.rotation, again.rotation)
    assert np.abs(first.rotation - other.rotation).max() > 0.01


@pytest.mark.parametrize("name", ON_FOOT)
def test_a_foot_on_the_floor_stays_where_it_is(name: str) -> None:
    for seed in SEEDS:
        body, _, position = sample(name, seed, fps=100)
        for side in ("left", "right"):
            ball = joint(position, f"{side}_toe")
            down = ball[:, 1] < body.rig.ball_radius + 1e-3
            both = down[1:] & down[:-1]
            assert both.mean() > 0.15  # it does stand on it
            slide = np.linalg.norm(np.diff(ball[:, [0, 2]], axis=0), axis=-1)[both] * 100
            assert np.quantile(slide, 0.95) < 0.12, (name, seed)  # metres a second, against 1 to 3 of the body


@pytest.mark.parametrize("name", ["walk", "stroll"])
def test_walkers_face_where_they_go_and_step_with_alternate_feet(name: str) -> None:
    for seed in SEEDS:
        _, pose, position = sample(name, seed, fps=50)
        going = np.gradient(pose.root[:, [0, 2]], 1 / 50, axis=0)
        facing = pose.rotation[:, 0][:, [0, 2], 2]
        speed = np.linalg.norm(going, axis=-1)
        assert 0.5 < speed.mean() < 1.8
        assert ((going * facing).sum(-1) / speed).mean() > 0.95
        ahead = ((joint(position, "left_ankle") - joint(position, "right_ankle"))[:, [0, 2]] * facing).sum(-1)
        crossings = (np.diff(np.sign(ahead)) != 0).sum()
        assert 6 <= crossings <= 20  # in six seconds: one to three steps a second
        arms = ((joint(position, "left_wrist") - joint(position, "right_wrist"))[:, [0, 2]] * facing).sum(-1)
        assert np.corrcoef(arms, ahead)[0, 1] < -0.3  # arms swing against the legs


@pytest.mark.parametrize("name", STANDING)
def test_who_stands_keeps_both_feet_in_place(name: str) -> None:
    for seed in SEEDS:
        _, _, position = sample(name, seed)
        for side in ("left", "right"):
            assert np.ptp(joint(position, f"{side}_toe")[:, [0, 2]], axis=0).max() < 0.02, (name, seed)


def test_who_sits_sits_on_the_chair() -> None:
    for seed in SEEDS:
        body = person(seed)
        motion = make_motion("sit", body.rig, seed)
        seat = motion.props[0]
        top = seat.centre[1] + seat.half[1]
        ends, _ = body.cones(motion.sample(np.arange(0, 3, 0.1)))
        thigh = body.part.index("left_thigh")
        under = (ends[:, thigh, 0, 1] - body.radius[thigh, 0]).mean()
        assert abs(under - top) < 0.035
        hips = ends[:, body.part.index("pelvis")].mean(axis=(0, 1))
        assert (np.abs(hips - seat.centre)[[0, 2]] < np.array(seat.half)[[0, 2]]).all()


def test_lying_and_crouching_are_low() -> None:
    for seed in SEEDS:
        body, pose, position = sample("lie", seed)
        assert position[:, INDEX["head"], 1].max() < 0.6
        body, pose, _ = sample("crouch", seed)
        assert pose.root[:, 1].min() < 0.75 * body.rig.standing < pose.root[:, 1].max()


def test_the_error_for_a_mistyped_motion_has_the_nearest() -> None:
    with pytest.raises(InvalidValueError, match="'wlak'; did you mean 'walk'"):
        make_motion("wlak", person(0).rig, 0)
    with pytest.raises(AugliftError):
        make_motion("", person(0).rig, 0)


def test_two_bones_reach_the_point_they_are_sent_to() -> None:
    rng = np.random.default_rng(0)
    root, pole = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    way = rng.normal(size=(50, 3))
    target = root + way / np.linalg.norm(way, axis=1, keepdims=True) * rng.uniform(0.15, 0.84, (50, 1))
    for bends in (1.0, -1.0):
        upper, angle = limb_rotations(root, target, 0.5, 0.35, pole, bends)
        middle = root - 0.5 * upper[..., 1]
        hinge = Rotation.from_euler("x", bends * angle[:, None]).as_matrix()
        end = middle - 0.35 * (upper @ hinge)[..., 1]
        np.testing.assert_allclose(end, target, atol=1e-9)
        np.testing.assert_allclose(np.linalg.det(upper), 1, atol=1e-9)
        towards = (
            middle
            - root
            - ((middle - root) * (target - root)).sum(-1, keepdims=True)
            * (target - root)
            / ((target - root) ** 2).sum(-1, keepdims=True)
        )
        assert ((towards * pole).sum(-1) > 0).all()


def test_angles_turn_the_way_anatomy_says() -> None:
    def turned(
        name: str, flexion: float, abduction: float, twist: float, vector: tuple[float, float, float]
    ) -> np.ndarray:
        angles = np.zeros((1, len(JOINTS), 3))
        angles[0, INDEX[name]] = flexion, abduction, twist
        return local_rotations(angles)[0, INDEX[name]] @ vector

    down, ahead, up = (0, -1, 0), (0, 0, 1), (0, 1, 0)
    assert turned("left_shoulder", 90, 0, 0, down) @ ahead > 0.99  # flexion: the arm comes forward
    assert turned("left_shoulder", 0, 90, 0, down)[0] > 0.99  # abduction: away from the body, left is +x
    assert turned("right_shoulder", 0, 90, 0, down)[0] < -0.99
    assert turned("left_hip", 0, 0, 30, ahead)[0] < -0.4  # inward: the left foot points to the right
    assert turned("right_hip", 0, 0, 30, ahead)[0] > 0.4
    assert turned("right_knee", 90, 0, 0, down) @ ahead < -0.99  # the heel goes to the buttock
    assert turned("left_ankle", 20, 0, 0, ahead) @ up > 0.3  # toes up
    assert turned("chest", 30, 0, 0, up) @ ahead > 0.4  # bowing
    assert turned("chest", 0, 30, 0, up)[0] > 0.4  # to the left
