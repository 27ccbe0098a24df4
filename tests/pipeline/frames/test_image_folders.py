"""sources.py on folders of images: in natural order, as they are displayed, every damage by a reason."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from auglift.pipeline.frames.sources import probe

from ...fakes.video import number_frames, read_all, read_number, truncate, write_images


@pytest.mark.parametrize("suffix", ["png", "jpg", "JPEG"])
def test_a_folder_of_images_is_read_in_natural_order(tmp_path, suffix):
    folder = write_images(tmp_path / "images", number_frames(12, 48, 96), suffix)
    info = probe(folder)
    assert (info.kind, info.width, info.height, info.fps, info.frame_count) == ("images", 96, 48, None, 12)
    assert probe(folder, fps=30).fps == 30
    frames, ok, _ = read_all(folder, range(12), batch=5)
    assert ok.all()
    assert [read_number(frame) for frame in frames] == list(range(12))
    assert (frames[10] == np.asarray(Image.open(folder / f"11.{suffix}"))).all()
    assert (read_all(folder, [3, 7], threads=1)[0] == frames[[3, 7]]).all()


def test_one_damaged_image_is_reported_and_stops_nothing(tmp_path):
    folder = write_images(tmp_path / "images", number_frames(6, 48, 96), "jpg")
    truncate(folder / "3.jpg", 0.5)
    (folder / "5.jpg").write_bytes(b"no image")
    info = probe(folder)
    assert info.frame_count == 6
    assert "1 of 6 images cannot be opened" in info.warnings
    frames, ok, reasons = read_all(folder, range(6))
    assert ok.tolist() == [True, True, False, True, False, True]
    assert "truncated" in str(reasons[2])
    assert "5.jpg" in str(reasons[4])
    assert str(tmp_path) not in str(reasons)  # reasons go into the store, which must not depend on where sources lie
    assert not frames[[2, 4]].any()
    assert [read_number(frames[i]) for i in (0, 1, 3, 5)] == [0, 1, 3, 5]


def test_images_are_turned_and_reduced_as_they_are_displayed(tmp_path):
    upright = number_frames(1, 48, 96)[0]
    exif = Image.Exif()
    exif[0x0112] = 6  # display turned clockwise
    Image.fromarray(np.rot90(upright, 1)).save(tmp_path / "1.png", exif=exif)
    Image.fromarray(upright).convert("RGBA").save(tmp_path / "2.png")
    grey = upright[..., 0].astype(np.uint16) * 257
    Image.fromarray(grey).save(tmp_path / "3.png")
    assert (probe(tmp_path).width, probe(tmp_path).height) == (96, 48)
    frames, ok, reasons = read_all(tmp_path, range(3))
    assert ok.all(), reasons
    assert (frames[0] == upright).all()
    assert (frames[1] == upright).all()
    assert (frames[2] == upright[..., :1]).all()


def test_a_folder_of_one_pixel_is_a_folder(tmp_path):
    Image.new("RGB", (1, 1), (7, 8, 9)).save(tmp_path / "1.png")
    assert (probe(tmp_path).width, probe(tmp_path).height) == (1, 1)
    assert read_all(tmp_path, [0])[0].tolist() == [[[[7, 8, 9]]]]


def test_a_folder_s_digest_sees_names_and_sizes(tmp_path):
    folder = write_images(tmp_path / "images", number_frames(3, 48, 96))
    before = probe(folder).digest
    (folder / "2.png").rename(folder / "4.png")
    assert probe(folder).digest != before
