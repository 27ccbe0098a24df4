"""One pixel convention: integers are pixel centres, from the renderer to the descriptor, to 0.05 px.

A dot, a smooth blob about a place that is known to a fraction of a pixel, or the corner of a checkerboard goes through
a step; where it comes out is measured in the picture, and must be where the step says.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from auglift.pipeline.datasets import calibrated
from auglift.pipeline.datasets.formats.cameras import Camera
from auglift.pipeline.datasets.letterbox import Bars
from auglift.pipeline.datasets.synth import SynthTruth
from auglift.pipeline.frames.resize import resize_bicubic
from auglift.pipeline.frames.sources import SourceInfo
from auglift.pipeline.networks.blazepose import regions
from auglift.pipeline.networks.detect import resize
from auglift.pipeline.networks.pose import build_pose, crop, crop_frame
from auglift.pipeline.synth.clip import plan_clips
from auglift.pipeline.synth.rendered import TRUTH
from auglift.pipeline.synth.rendering.render import Renderer
from auglift.pipeline.synth.stage import set_stage
from auglift.pipeline.synth.video import render_clip
from auglift.pipeline.uadd.descriptor import compute
from auglift.pipeline.uadd.presets import PRESETS, ConfidenceRadius

CLOSE = 0.05  # px

# Places of dots in a frame of 200 x 160 px, at all fractions of a pixel.
PLACES = np.random.default_rng(0).uniform([70, 60], [130, 100], (12, 2))


def dots(places: np.ndarray, width: int = 200, height: int = 160, sigma: float = 4.0) -> Tensor:
    """(B, H, W, 3) uint8: a blob about each place (B, 2), whose pixel (u, v) has the light at (u, v)."""
    v, u = np.mgrid[:height, :width]
    far = (u - places[:, 0, None, None]) ** 2 + (v - places[:, 1, None, None]) ** 2
    grey = np.rint(250 * np.exp(-far / (2 * sigma**2))).astype(np.uint8)
    return torch.from_numpy(grey[..., None].repeat(3, -1))


def middle(pictures: Tensor | np.ndarray) -> np.ndarray:
    """(B, 2): the light's centre of each picture (B, h, w, 3), its pixels at integers."""
    light = np.asarray(pictures, dtype=np.float64)[..., 0]
    v, u = np.mgrid[: light.shape[1], : light.shape[2]]
    return np.stack([(light * u).sum((1, 2)), (light * v).sum((1, 2))], axis=-1) / light.sum((1, 2))[:, None]


def test_a_rendered_dot_is_where_the_store_says(tmp_path: Path):
    """A ball of 4 cm in the studio, at places that the renderer's own camera projects."""
    clip = plan_clips("studio", 1, seed=4, frames=24, size=256)[0]
    stage, frames = set_stage(clip), np.arange(24)
    camera = stage.camera[frames]
    crowd, _ = stage.crowd(frames)
    rng = np.random.default_rng(1)
    centre = crowd.ends[:, 0, 0] + rng.uniform(-0.2, 0.2, (24, 3))
    ends = np.full_like(crowd.ends, 500.0)
    ends[:, 0] = centre[:, None]
    radius = crowd.radius.copy()
    radius[0] = 0.04
    renderer = Renderer(dataclasses.replace(stage.scene, boxes=(), poles=()), stage.materials, stage.look, camera, "x")
    drawn = renderer.frames(camera, dataclasses.replace(crowd, ends=ends, radius=radius), frames)
    keypoints = camera.project(camera.to_camera(centre[:, None])).astype(np.float32).repeat(17, axis=1)
    arrays = {"pose3d": np.zeros((24, 17, 3)), "keypoints": keypoints, "bbox": np.zeros((24, 4))}
    np.savez(tmp_path / TRUTH, **arrays, intrinsics=np.array(camera.intrinsics))

    seen = (drawn.person == 1).flatten(1).sum(1).numpy() > 15
    assert seen.sum() > 15
    stored = SynthTruth(tmp_path, "x").read(frames)["target/keypoints"][:, 0]
    apart = (middle((drawn.person == 1).unsqueeze(-1)) - stored)[seen]
    assert np.abs(apart.mean(axis=0)).max() < CLOSE  # a disk of 20 pixels has its centre to some hundredths
    assert np.abs(apart).max() < 0.35
    fx, fy, cx, cy = SynthTruth(tmp_path, "x").intrinsics()
    x, y, z = camera.to_camera(centre[:, None])[:, 0].T
    np.testing.assert_allclose(stored, np.stack([fx * x / z + cx, fy * y / z + cy], -1), atol=1e-3)


@pytest.mark.parametrize("udp", [False, True])
@pytest.mark.parametrize("box", [(60.0, 40, 150, 130), (81.3, 20.9, 119.2, 140.1)])
def test_a_crop_shows_a_dot_where_its_geometry_says(udp: bool, box: tuple[float, ...]):
    size = (96, 128)
    centre, extent = crop_frame(torch.tensor([box]).expand(len(PLACES), 4), size, 1.25)
    crops = crop(dots(PLACES), torch.arange(len(PLACES)), centre, extent, size, udp)
    step = extent.numpy() / (np.array(size) - 1 if udp else np.array(size))
    origin = centre.numpy() - extent.numpy() / 2
    assert np.abs(origin + middle(crops) * step - PLACES).max() < CLOSE


@pytest.mark.parametrize("flip_test", [False, True])
def test_joints_of_a_network_that_sees_right_lie_on_the_dot_on_average(flip_test: bool):
    """A network whose peak is at the light's centre, to the nearest half crop pixel, in a crop and its mirror image."""
    places = np.random.default_rng(2).uniform([70, 60], [130, 100], (80, 2))
    pose = build_pose("rtmpose-t", "random", crop_batch=50)
    pose._flip_test = flip_test

    def sees(inputs: Tensor) -> tuple[Tensor, Tensor]:
        light = (inputs[:, 0] - inputs[:, 0].amin((1, 2), keepdim=True)).numpy()
        at = torch.from_numpy(middle(light[..., None]))
        peaks = (torch.exp(-((torch.arange(2 * n) - 2 * at[:, i, None]) ** 2) / 50) for i, n in enumerate((192, 256)))
        x, y = (peak.float()[:, None].expand(-1, 17, -1) for peak in peaks)
        return x, y

    pose.run = sees
    boxes = torch.tensor([[60.0, 40, 150, 130]]).expand(len(places), 4)
    keypoints, _ = pose.estimate(dots(places), boxes, torch.arange(len(places)))
    apart = keypoints.numpy() - places[:, None]
    assert np.abs(apart.mean(axis=(0, 1))).max() < CLOSE
    assert np.abs(apart).max() < 0.4


@pytest.mark.parametrize("size", [(320, 256), (150, 120), (101, 80)])
@pytest.mark.parametrize("by", [resize, resize_bicubic])
def test_a_resized_frame_shows_a_dot_and_a_corner_half_a_pixel_right(size: tuple[int, int], by):
    """The frame's edge lies at -1/2, and edges stay edges; RTMDet's resize and that of depth networks."""
    if by is resize_bicubic:
        pictures = by(dots(PLACES), size[::-1]).permute(0, 2, 3, 1)
        board = by(checkerboard(PLACES[0]), size[::-1])[0].permute(1, 2, 0)
    else:
        pictures, board = by(dots(PLACES), size), by(checkerboard(PLACES[0]), size)[0]
    scale = np.array(size) / [200, 160]
    assert np.abs(middle(pictures) - ((PLACES + 0.5) * scale - 0.5)).max() < CLOSE
    assert np.abs(corner(board, (PLACES[0] + 0.5) * scale - 0.5) - ((PLACES[0] + 0.5) * scale - 0.5)).max() < CLOSE


def checkerboard(at: np.ndarray) -> Tensor:
    """(1, 160, 200, 3) uint8: four fields that meet at a place, edges as soft as a lens makes them."""
    v, u = np.mgrid[:160, :200]
    grey = 127.5 + 120 * np.tanh((u - at[0]) / 1.5) * np.tanh((v - at[1]) / 1.5)
    return torch.from_numpy(np.rint(grey).astype(np.uint8)[None, ..., None].repeat(3, -1))


def corner(picture: Tensor | np.ndarray, near: np.ndarray) -> np.ndarray:
    """Where OpenCV finds the corner of a picture (h, w, 3), from a pixel or so beside it."""
    grey = np.ascontiguousarray(np.asarray(picture)[..., 0].astype(np.uint8))
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-4)
    start = (near + np.array([0.7, -0.6])).astype(np.float32).reshape(1, 1, 2)
    return cv2.cornerSubPix(grey, start, (6, 6), (-1, -1), stop).reshape(2)


CALIBRATION = Camera("cam", (200, 160), (180.0, 170.0), (99.2, 78.6), ((1, 0, 0), (0, 1, 0), (0, 0, 1)), (0, 0, 0))
POINT = np.array([0.1, -0.06, 3.0])


@pytest.mark.parametrize("scale", [0.7, 1.6])
def test_a_checkerboard_in_scaled_frames_is_where_the_fitted_camera_projects_it(scale: float):
    at = CALIBRATION.project(POINT)
    size = (round(200 * scale), round(160 * scale))
    camera, _ = CALIBRATION.fitted(*size)
    picture = resize(checkerboard(at), size)[0]
    assert np.abs(corner(picture, camera.project(POINT)) - camera.project(POINT)).max() < CLOSE


def test_a_checkerboard_between_black_bars_is_where_the_fitted_camera_projects_it(monkeypatch: pytest.MonkeyPatch):
    bars = Bars(left=40, top=10, right=40, bottom=6)
    inner = resize(checkerboard(CALIBRATION.project(POINT)), (300, 240))[0].numpy()
    picture = np.pad(inner, ((bars.top, bars.bottom), (bars.left, bars.right), (0, 0)))
    monkeypatch.setattr(calibrated, "black_bars", lambda info: bars)
    info = SourceInfo(Path("x.mp4"), "video", 380, 256, 25.0, 1, "", False, ())
    camera, said = calibrated.fit(CALIBRATION, info)
    assert said is not None
    assert np.abs(corner(picture, camera.project(POINT)) - camera.project(POINT)).max() < CLOSE


@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_a_leaning_region_puts_a_dot_back_where_its_crop_shows_it(angle: float):
    region = regions.Region(103.3, 77.8, 96.0, angle)
    crops = np.stack([region.crop(frame, 128, cv2.BORDER_CONSTANT) for frame in dots(PLACES).numpy()])
    assert np.abs(region.to_frame(middle(crops) / 128) - PLACES).max() < CLOSE


def test_the_descriptor_of_a_joint_reads_the_depth_about_it():
    """Its disk is balanced about the joint: on a slope of 1 m a pixel the median is the joint's own place."""
    v, u = np.mgrid[:160, :200].astype(np.float32)
    preset = dataclasses.replace(PRESETS["paper"], radius=ConfidenceRadius(8, 8))
    joints = torch.from_numpy(np.rint(PLACES).astype(np.float32))[None]
    for axis, depth in enumerate((u, v)):
        found = compute(torch.from_numpy(depth)[None], joints, torch.ones(1, len(PLACES)), (200, 160), [preset])
        assert (found["paper"].stats[0, :, 0] - joints[0, :, axis]).abs().max() < CLOSE


@pytest.mark.slow
def test_joints_of_the_shipped_network_have_no_offset():
    """On clips that it was not trained on; of visible joints that it finds at all. The rest is its own scatter."""
    pose, apart = build_pose("tiny"), []
    for domain in ("studio", "greenscreen", "street", "gym"):
        for clip in plan_clips(domain, 12, "test", 7, frames=100):
            batch = next(render_clip(clip, frames=[5, 40, 80]))
            box = batch.boxes[:, 0]
            there = torch.isfinite(box).all(1) & ((box[:, 2:] - box[:, :2]).amin(1) > 12)
            found, _ = pose.estimate(batch.image, box[there], torch.nonzero(there)[:, 0])
            off = (found - (batch.keypoints_coco[there] - 0.5))[batch.visible_coco[there]]
            apart.append(off[off.abs().amax(-1) < 6].numpy())
    off = np.concatenate(apart)
    error = off.std(axis=0) / np.sqrt(len(off))
    assert len(off) > 1500
    assert (np.abs(off.mean(axis=0)) < CLOSE + 2 * error).all()
