"""datasets/letterbox.py: black bars are counted to the pixel, and a calibration is fitted to the picture in between."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from auglift.pipeline.datasets.calibrated import fit
from auglift.pipeline.datasets.formats.cameras import Camera
from auglift.pipeline.datasets.letterbox import Bars, black_bars
from auglift.pipeline.frames.sources import probe

from ...fakes.video import number_frames, write_video

CAMERA = Camera("a", (160, 120), (150.0, 151.0), (81.0, 59.0), ((1, 0, 0), (0, 1, 0), (0, 0, 1)), (0.0, 0.0, 0.0))


@pytest.mark.parametrize("bars", [(0, 8, 0, 12), (10, 0, 6, 0), (0, 0, 0, 0)])
def test_bars_are_counted_to_the_pixel(tmp_path, bars):
    left, top, right, bottom = bars
    picture = np.maximum(number_frames(3, 120, 160), 40)
    frames = np.pad(picture, ((0, 0), (top, bottom), (left, right), (0, 0)))
    video = write_video(tmp_path / "x.mkv", frames, codec="ffv1", pix_fmt="bgr0")
    assert black_bars(probe(video)) == Bars(*bars)


def test_a_dark_video_has_no_bars(tmp_path):
    assert not black_bars(probe(write_video(tmp_path / "x.mp4", np.zeros((3, 64, 64, 3), np.uint8))))


def test_a_point_is_found_where_scaling_and_padding_brought_its_pixel(tmp_path):
    """OpenCV scales a picture with one bright square; its middle must be where the fitted camera says."""
    point = np.array([-0.2, 0.1, 1.0])
    x, y = np.round(CAMERA.project(point)).astype(int)
    picture = np.full((120, 160, 3), 60, np.uint8)
    picture[y - 4 : y + 5, x - 4 : x + 5] = 255
    scaled = cv2.resize(picture, (128, 96), interpolation=cv2.INTER_AREA)
    frame = np.pad(scaled, ((10, 14), (0, 0), (0, 0)))
    video = write_video(tmp_path / "x.mkv", frame[None].repeat(3, axis=0), codec="ffv1", pix_fmt="bgr0")
    camera, note = fit(CAMERA, probe(video))
    weight = np.clip(frame[..., 0].astype(float) - 60, 0, None)
    middle = [(weight * grid).sum() / weight.sum() for grid in np.meshgrid(np.arange(128), np.arange(120))]
    np.testing.assert_allclose(camera.project(point), middle, atol=0.5)
    assert note is not None
    assert "scaled by 0.8 between black bars (left 0, above 10, right 0, below 14 px)" in note
