"""Rich motion: what it does to a motion, and what it never does."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from auglift.pipeline.synth.clip import Clip, plan_clips
from auglift.pipeline.synth.domains import DOMAINS
from auglift.pipeline.synth.motion.rich import DEEPEST, Flesh, apart
from auglift.pipeline.synth.motion.rig import INDEX, LIMITS, anatomical_angles
from auglift.pipeline.synth.stage import Stage, set_stage

RICH = {name: plan_clips(name, 6, seed=1, frames=30, rich=True) for name in DOMAINS}


@cache
def staged(clip: Clip) -> Stage:
    return set_stage(clip)


def plain(clip: Clip) -> Clip:
    return Clip(**{**vars(clip), "rich": False, "limbs": ""})


def pairs() -> list[tuple[Stage, Stage]]:
    """Every rich clip beside the same without."""
    return [(staged(clip), staged(plain(clip))) for clips in RICH.values() for clip in clips]


def apart_by_sampling(ends: np.ndarray, radius: np.ndarray, one: int, other: int) -> float:
    """How deep two round cones are in each other, by balls along both."""
    share = np.linspace(0, 1, 60)
    first, second = (ends[n, 0] + share[:, None] * (ends[n, 1] - ends[n, 0]) for n in (one, other))
    thick = [radius[n, 0] + share * (radius[n, 1] - radius[n, 0]) for n in (one, other)]
    gap = np.linalg.norm(first[:, None] - second[None], axis=-1) - thick[0][:, None] - thick[1][None]
    return -gap.min()


def test_clips_of_rich_motion_are_the_plain_ones_by_people_place_and_motion():
    names = ("subject", "room", "motion", "camera", "seed")
    for domain, clips in RICH.items():
        for rich, other in zip(clips, plan_clips(domain, 6, seed=1, frames=30), strict=True):
            assert [getattr(rich, name) for name in names] == [getattr(other, name) for name in names]
    assert 0 < sum(bool(clip.limbs) for clips in RICH.values() for clip in clips) < 24


def test_most_clips_are_bent_and_no_two_of_one_motion_alike():
    changed = [
        np.abs(
            rich.walkers[0].motion.sample(np.arange(3.0)).rotation
            - other.walkers[0].motion.sample(np.arange(3.0)).rotation
        ).max()
        for rich, other in pairs()
    ]
    assert np.mean(np.array(changed) > 0.05) > 0.9


def test_no_limb_is_deeper_in_another_than_flesh_gives_way_or_than_it_was_before():
    for rich, other in pairs():
        depths = []
        for stage in (rich, other):
            walker = stage.walkers[0]
            body, pose = walker.body, walker.pose
            found = apart(body.part)
            ends = body.cones(pose)[0]
            depths.append(max(apart_by_sampling(ends[t], body.radius, *p) for t in (0, 15, 29) for p in found[::3]))
        assert depths[0] < max(depths[1], DEEPEST) + 0.03  # other instants than those that were looked at


def test_the_closed_formula_of_depth_agrees_with_balls_along_both_limbs():
    walker = staged(RICH["studio"][0]).walkers[0]
    pairs = apart(walker.body.part)[:12]
    ends = walker.body.cones(walker.pose)[0]
    for pair in pairs:
        flesh = Flesh(lambda pose: walker.body.cones(pose)[0], walker.body.radius, pair[None])
        sampled = apart_by_sampling(ends[7], walker.body.radius, *pair)
        # The thickness is that where the axes are nearest: a tapering limb may be a little deeper elsewhere.
        assert flesh.depth(walker.pose)[7] == pytest.approx(sampled, abs=0.01)


def test_nobody_sinks_into_the_floor_or_leaves_it():
    for rich, other in pairs():
        low = [stage.walkers[0].body.rig.lowest(stage.walkers[0].pose) for stage in (rich, other)]
        np.testing.assert_allclose(low[0], low[1], atol=1e-6)


def test_joints_stay_within_their_limits():
    for rich, other in pairs():
        for name in ("left_elbow", "right_knee", "left_hip", "neck", "lumbar"):
            angles, before = (
                anatomical_angles(stage.walkers[0].motion.sample(np.arange(6) * 0.2).rotation)[:, INDEX[name]]
                for stage in (rich, other)
            )
            limits = LIMITS[name.rsplit("_", 1)[-1]]
            for axis, (low, high) in enumerate(limits):
                assert angles[:, axis].min() >= min(low, before[:, axis].min(), -90 * (name == "left_elbow")) - 0.01
                assert angles[:, axis].max() <= max(high, before[:, axis].max(), 90 * (name == "left_elbow")) + 0.01


def test_a_rich_motion_has_no_jumps():
    for clips in RICH.values():
        motion = staged(clips[1]).walkers[0].motion
        seconds = np.arange(0, 1, 0.01)
        turned = np.abs(np.diff(motion.sample(seconds).rotation, axis=0)).max()
        assert turned < 0.5
