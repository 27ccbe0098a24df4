"""What is rendered and what is said of it, against geometry that knows nothing of the renderer.

The oracle marches along rays through a signed distance field written here from the scene's description: dense balls for
round cones, plain box distances, the walls of the room.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from auglift.pipeline.synth.rendering.render import Renderer
from auglift.pipeline.synth.video import Batch, render_clip

from .drawn_clips import CASES, FRAMES, drawn, march


@pytest.mark.parametrize("domain", CASES)
def test_depth_is_where_a_ray_marched_by_hand_arrives(domain: str) -> None:
    clip, stage, batch = drawn(domain)
    rng = np.random.default_rng(0)
    fx, fy, cx, cy = stage.camera.intrinsics
    crowd, _ = stage.crowd(np.array(FRAMES))
    wrong, kinds = 0, set()
    for index in (1, 3):
        people = np.argwhere(batch.person[index].numpy() > 0)
        spots = np.concatenate([people[rng.integers(len(people), size=12)], rng.integers(0, clip.size, (18, 2))])
        rotation, translation = batch.rotation[index].double().numpy(), batch.translation[index].double().numpy()
        rays = np.stack([(spots[:, 1] + 0.5 - cx) / fx, (spots[:, 0] + 0.5 - cy) / fy, np.ones(len(spots))], -1)
        t, which = march(stage.scene, crowd.ends[index], crowd.radius, -rotation.T @ translation, rays @ rotation)
        depth = batch.depth[index].numpy()[spots[:, 0], spots[:, 1]]
        # A ray that grazes an edge may pass it by a hair; all others agree to two millimetres and a thousandth.
        wrong += (np.abs(depth - t) > 0.002 + 0.001 * t).sum()
        person = batch.person[index].numpy()[spots[:, 0], spots[:, 1]] > 0
        wrong += (person != (which < len(crowd.owner))).sum()
        kinds |= set(np.where(which < len(crowd.owner), 0, np.where(which == which.max(), 1, 2)).tolist())
    assert wrong <= 2
    assert {0, 1} <= kinds


@pytest.mark.parametrize("domain", ["studio", "street"])
def test_a_frame_is_the_same_whatever_it_is_drawn_with(domain: str) -> None:
    clip, _, batch = drawn(domain)
    again = next(render_clip(clip, batch=len(FRAMES), frames=FRAMES))
    singly = list(render_clip(clip, batch=1, frames=FRAMES))
    for field in dataclasses.fields(Batch):
        first = getattr(batch, field.name)
        assert torch.equal(first.nan_to_num(-1), getattr(again, field.name).nan_to_num(-1)), field.name
        if field.name != "intrinsics":
            parts = torch.cat([getattr(part, field.name) for part in singly])
            assert torch.equal(first.nan_to_num(-1), parts.nan_to_num(-1)), field.name
    other = next(render_clip(dataclasses.replace(clip, seed=clip.seed + 1), batch=1, frames=[0]))
    assert not torch.equal(other.image[0], batch.image[0])


def test_a_larger_picture_shows_the_same_world() -> None:
    clip, _, small = drawn("studio")
    large = next(render_clip(dataclasses.replace(clip, size=2 * clip.size), batch=4, frames=FRAMES))
    np.testing.assert_allclose(large.joints_coco, small.joints_coco)
    np.testing.assert_allclose(large.keypoints_coco, 2 * small.keypoints_coco, rtol=1e-5)
    assert torch.equal(large.visible_coco, small.visible_coco)
    np.testing.assert_allclose(large.boxes, 2 * small.boxes, atol=1e-3)
    # Every pixel of the small picture is the middle of four of the large one.
    low, high = (
        getattr(torch, name)(large.depth.unfold(1, 2, 2).unfold(2, 2, 2).flatten(3), -1).values
        for name in ("min", "max")
    )
    within = (small.depth > low - 0.01) & (small.depth < high + 0.01)
    assert within.float().mean() > 0.99


def test_a_still_camera_sees_a_still_room_and_a_carried_one_does_not() -> None:
    _, _, batch = drawn("studio")
    nobody = (batch.person == 0).all(0)
    assert torch.equal(batch.depth[0][nobody], batch.depth[3][nobody])
    _, _, batch = drawn("street")
    assert (batch.rotation[0] - batch.rotation[3]).abs().max() > 1e-3
    for index in range(4):
        turn = batch.rotation[index].double()
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-6)
        assert torch.linalg.det(turn) > 0.99


def test_people_cast_shadows_on_the_floor() -> None:
    _, stage, _ = drawn("greenscreen")
    frames = np.array([3])
    crowd, _ = stage.crowd(frames)
    gone = dataclasses.replace(crowd, ends=crowd.ends + np.array([0, 500.0, 0]))  # far away, and out of the light's way
    camera = stage.camera[frames]
    look = dataclasses.replace(stage.look, noise=0.0, blur=0.0)
    renderer = Renderer(stage.scene, stage.materials, look, camera, "x")
    here, away = (renderer.frames(camera, who, frames) for who in (crowd, gone))
    darker = (here.image.int() - away.image.int()).sum(-1)[here.person == 0]
    assert darker.max() <= 0  # nobody adds light
    shaded = int((darker < -5).sum())
    assert 0.05 < shaded / int((here.person == 1).sum()) < 4
    # A shadow begins at the feet, and lies away from the lamp.
    rows, columns = np.nonzero(
        ((here.image.int() - away.image.int()).sum(-1)[0] < -5).numpy() & (here.person[0] == 0).numpy()
    )
    fx, fy, cx, cy = camera.intrinsics
    ray = np.stack([(columns + 0.5 - cx) / fx, (rows + 0.5 - cy) / fy, np.ones(len(rows))], -1)
    world = camera.centre[0] + (ray * here.depth[0].numpy()[rows, columns, None]) @ camera.rotation[0]
    subject = crowd.ends[0].mean(axis=(0, 1))
    away_from_lamp = -stage.scene.light.towards * [1, 0, 1]
    assert ((world - subject) @ away_from_lamp).mean() > 0


def test_pictures_are_varied_and_exposed() -> None:
    for domain in CASES:
        _, _, batch = drawn(domain)
        image = batch.image.float()
        assert batch.image.dtype == torch.uint8
        assert 40 < image.mean() < 200
        assert image.std() > 15
        assert ((image == 0) | (image == 255)).float().mean() < 0.15
        subject = image[batch.person == 1]
        assert subject.std() > 12
        assert torch.isfinite(batch.depth).all()
        assert (batch.depth > 0.3).all()


@pytest.mark.gpu
def test_a_gpu_draws_what_the_cpu_draws() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    for domain in CASES:
        clip, _, batch = drawn(domain)
        found = next(render_clip(clip, device="cuda", batch=len(FRAMES), frames=FRAMES))
        assert found.image.is_cuda
        off = (found.depth.cpu() - batch.depth).abs() > 1e-3
        assert off.float().mean() < 1e-3
        assert (found.image.cpu().int() - batch.image.int()).abs().float().mean() < 1.0
        assert torch.equal(found.visible_coco.cpu(), batch.visible_coco)
