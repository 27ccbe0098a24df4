"""Four domains that differ, plans that are pure functions of their arguments, splits that share nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from auglift.pipeline.synth.clip import CAPTURE, Clip, plan_clips
from auglift.pipeline.synth.domains import DOMAINS, get_domain
from auglift.pipeline.synth.motion.choice import MOTIONS
from auglift.pipeline.synth.stage import set_stage, subject_body
from auglift.pipeline.synth.video import render_clip
from auglift.stores.errors import InvalidValueError, MissingFileError

from .motion.test_mocap import poses, small_archive


def plan(domain: str, split: str, count: int = 40, **options: object) -> tuple[Clip, ...]:
    return plan_clips(domain, count, split, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("typed", "meant"), [("studoi", "studio"), ("Greenscreen", "greenscreen"), ("jim", "gym"), ("streets", "street")]
)
def test_the_error_for_a_mistyped_domain_has_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(InvalidValueError, match=f"{typed!r}; did you mean {meant!r}"):
        plan_clips(typed, 3)


def test_senseless_plans_are_refused() -> None:
    for options in ({"split": "validation"}, {"frames": 0}, {"fps": 0.0}, {"size": 8}):
        with pytest.raises(InvalidValueError):
            plan("studio", options.pop("split", "train"), 3, **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError):
        plan_clips("studio", 0)


@pytest.mark.parametrize("domain", DOMAINS)
def test_train_and_test_share_no_person_and_no_room(domain: str) -> None:
    train, test = plan(domain, "train"), plan(domain, "test")
    assert not {clip.subject for clip in train} & {clip.subject for clip in test}
    assert len({clip.subject for clip in test}) == get_domain(domain).subjects["test"]
    bodies = [subject_body(get_domain(domain), clip.subject).subject for clip in (*train, *test)]
    builds = {dataclasses.replace(build, name="") for build in bodies}
    assert len(builds) == len({build.name for build in bodies})  # nobody is another one's twin
    rooms = [
        {set_stage(dataclasses.replace(clip, frames=2)).scene.materials[:3] for clip in clips[:8]}
        for clips in (train, test)
    ]
    assert not rooms[0] & rooms[1]


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_plan_is_a_pure_function_and_a_longer_one_begins_with_it(domain: str) -> None:
    clips = plan(domain, "train", 12, seed=3)
    assert clips == plan(domain, "train", 30, seed=3)[:12]
    assert clips != plan(domain, "train", 12, seed=4)
    assert len({clip.id for clip in plan(domain, "train", 60)}) == 60
    assert {clip.motion for clip in plan(domain, "train", 60)} <= set(MOTIONS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        clips[0].seed = 1  # type: ignore[misc]


def test_captured_motion_needs_its_archive_and_keeps_to_its_split(tmp_path: Path) -> None:
    from auglift.pipeline.synth.motion.mocap import MocapArchive

    names = ["train/walking/walking_1", "train/walking/walking_2", "test/walking/walking_1", "test/jumping/jumping_1"]
    calm = {name: 0.2 * poses(60, seed) * (np.arange(117) >= 3) for seed, name in enumerate(names)}
    for values in calm.values():
        values[:] = values[:1]
        values[:, 1] = 8
    small_archive(tmp_path, calm)
    archive = MocapArchive(tmp_path, tmp_path / "cache")
    for split in ("train", "test"):
        captured = [clip for clip in plan("studio", split, archive=archive) if clip.motion.startswith(CAPTURE)]
        assert 8 < len(captured) < 32  # about half of forty
        assert all(clip.motion.startswith(f"{CAPTURE}{split}/walking/") for clip in captured)
    clip = dataclasses.replace(captured[0], frames=2, size=32)
    with pytest.raises(MissingFileError, match="motion capture archive and none was given"):
        next(render_clip(clip))
    assert len(next(render_clip(clip, archive))) == 2


def test_the_domains_differ_as_their_models_do() -> None:
    facts: dict[str, dict[str, np.ndarray]] = {}
    for domain in DOMAINS:
        rows = []
        for clip in plan(domain, "train", 10, frames=30, size=64):
            stage = set_stage(clip)
            pose = stage.walkers[0].pose
            rows.append(
                (
                    stage.camera.centre[:, 1].mean(),
                    np.linalg.norm(stage.camera.centre - pose.root, axis=-1).mean(),
                    stage.camera.fx / clip.size,
                    np.ptp(stage.camera.rotation, axis=0).max(),
                    len(stage.walkers),
                    pose.root[:, 1].mean(),
                )
            )
        facts[domain] = dict(
            zip(("height", "distance", "focal", "moves", "people", "root"), np.array(rows).T, strict=True)
        )
    assert np.ptp(facts["greenscreen"]["height"]) > 1.2 > 0.4 > np.ptp(facts["studio"]["height"])
    assert facts["greenscreen"]["focal"].max() < facts["street"]["focal"].min()
    assert facts["street"]["focal"].max() < facts["studio"]["focal"].min() < facts["gym"]["focal"].min()
    assert (facts["street"]["moves"] > 0.005).all()
    assert all((facts[domain]["moves"] == 0).all() for domain in ("studio", "greenscreen", "gym"))
    assert facts["street"]["people"].min() >= 2
    assert facts["studio"]["people"].max() == 1
    assert facts["gym"]["root"].mean() < facts["studio"]["root"].mean() - 0.1
    assert 3 < facts["studio"]["distance"].mean() < 6


def test_the_subject_is_in_the_picture() -> None:
    for domain in DOMAINS:
        inside = []
        for clip in plan(domain, "test", 6, frames=40, size=64):
            stage = set_stage(clip)
            body = stage.walkers[0].body
            ends, _ = body.cones(stage.walkers[0].pose)
            pixel = stage.camera.project(stage.camera.to_camera(ends[:, :, 0]))
            inside.append(((pixel > 0) & (pixel < clip.size)).all(-1).mean())
        assert np.mean(inside) > 0.93, domain


def test_a_frame_that_a_clip_does_not_have_is_refused() -> None:
    clip = plan("studio", "train", 1, frames=5, size=32)[0]
    for frames in ([5], [-1], []):
        with pytest.raises(InvalidValueError, match="frames 0 to 4"):
            next(render_clip(clip, frames=frames))
    assert next(render_clip(clip, frames=[4, 1])).number.tolist() == [4, 1]


def test_green_is_green_and_a_street_has_a_sky() -> None:
    green = next(
        render_clip(dataclasses.replace(plan("greenscreen", "train")[0], frames=2, size=64), batch=1)
    ).image.float()
    assert (green[..., 1] > 1.15 * torch.maximum(green[..., 0], green[..., 2])).float().mean() > 0.6
    stage = set_stage(plan("street", "train")[0])
    assert stage.scene.materials[stage.scene.sky].glow
    assert stage.scene.skyline < stage.scene.high[1]
