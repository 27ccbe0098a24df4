"""images.py: values of 16 bits become those of 8 by the bits they use; pictures are turned as they say."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from auglift.pipeline.datasets.video import clips
from auglift.pipeline.frames.images import header_of
from auglift.pipeline.frames.sources import probe, read
from auglift.stores.errors import InvalidValueError

from ...fakes.video import number_frames, read_all

HEIGHT, WIDTH = 6, 10
# Where Exif says that the first row and the first column of the stored picture are, and what NumPy makes of it.
TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


def values(bits: int, colours: int = 1, seed: int = 0) -> np.ndarray:
    """Random values of so many bits, the largest among them; (H, W) or (H, W, colours) uint16."""
    shape = (HEIGHT, WIDTH) if colours == 1 else (HEIGHT, WIDTH, colours)
    made = np.random.default_rng(seed).integers(0, 2**bits, shape).astype(np.uint16)
    made.flat[0] = 2**bits - 1
    return made


def write_png(
    path: Path, pixels: np.ndarray, significant: int | None = None, turn: int = 1, late: bool = False
) -> Path:
    """A PNG by the specification alone: (H, W[, colours]) uint8 or uint16, RGB or RGBA; `sBIT` and `eXIf` if wished."""
    deep = pixels.dtype == np.uint16
    colours = 1 if pixels.ndim == 2 else pixels.shape[2]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[colours]
    rows = pixels.astype(">u2" if deep else "u1").reshape(len(pixels), -1)
    exif = b"MM\x00*\x00\x00\x00\x08\x00\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, turn, 0) + bytes(4)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16 if deep else 8, kind, 0, 0, 0))]
    chunks += [(b"sBIT", bytes([significant] * colours))] if significant else []
    pictures = [(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)))]
    turned = [(b"eXIf", exif)] if turn != 1 else []
    chunks += pictures + turned if late else turned + pictures
    data = b"\x89PNG\r\n\x1a\n"
    for name, content in [*chunks, (b"IEND", b"")]:
        data += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def shown(folder: Path) -> np.ndarray:
    """(H, W, 3) of the folder's first image."""
    frames, ok, reasons = read_all(folder, [0])
    assert ok.all(), reasons
    return frames[0]


def of_eight(pixels: np.ndarray, bits: int) -> np.ndarray:
    """(H, W, 3): what a display of 8 bits shows of values whose white is 2^bits - 1."""
    eight = np.floor(pixels.astype(np.float64) / 2 ** (bits - 8))
    return np.broadcast_to(eight if pixels.ndim == 3 else eight[..., None], (*pixels.shape[:2], 3))


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_values_are_brought_to_eight_bits_by_those_they_use(tmp_path, bits, colours):
    pixels = values(bits, colours)
    write_png(tmp_path / "1.png", pixels)
    assert (shown(tmp_path) == of_eight(pixels, bits)).all()
    said = [f"images of 16 bits whose values need {bits}: {2**bits - 1} is taken as white"]
    assert list(probe(tmp_path).warnings) == (said if bits < 16 else [])


def test_a_folder_has_one_white_and_the_brightest_of_its_images_decides(tmp_path):
    for number in range(40):
        write_png(tmp_path / f"{number}.png", values(12 if number == 39 else 9, seed=number))
    assert (shown(tmp_path) == of_eight(values(9, seed=0), 12)).all()


def test_where_no_image_looked_at_showed_how_bright_another_is_that_one_is_marked_and_not_wrong(tmp_path):
    for number in range(40):
        write_png(tmp_path / f"{number}.png", values(16 if number == 1 else 12, seed=number))
    frames, ok, reasons = read_all(tmp_path, range(40))
    assert np.flatnonzero(~ok).tolist() == [1]
    assert "more than the 12 bits" in str(reasons[1])
    assert (frames[2] == of_eight(values(12, seed=2), 12)).all()


def test_the_file_s_own_word_counts_where_its_values_bear_it_out(tmp_path):
    dark = values(10)
    write_png(tmp_path / "all" / "1.png", dark, significant=16)  # all 16 bits were measured: it is dark
    assert (shown(tmp_path / "all") == of_eight(dark, 16)).all()
    write_png(tmp_path / "twelve" / "1.png", dark, significant=12)  # of 12 bits, and dark
    assert (shown(tmp_path / "twelve") == of_eight(dark, 12)).all()
    scaled = (values(12) * 16).astype(np.uint16)  # of 12 bits, scaled up to 16 as the specification says
    write_png(tmp_path / "scaled" / "1.png", scaled, significant=12)
    assert (shown(tmp_path / "scaled") == of_eight(values(12), 12)).all()


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("turn", TURNS)
def test_images_of_any_depth_are_turned_as_exif_says(tmp_path, turn, colours, late):
    deep = values(12, colours)
    write_png(tmp_path / "deep" / "1.png", deep, turn=turn, late=late)
    flat = (deep >> 4).astype(np.uint8)
    write_png(tmp_path / "flat" / "1.png", flat, turn=turn, late=late)
    upright = TURNS[turn](of_eight(deep, 12))
    for folder in (tmp_path / "deep", tmp_path / "flat"):
        info = probe(folder)
        assert (info.height, info.width) == upright.shape[:2]
        assert (shown(folder) == upright).all()


def test_transparency_is_dropped_and_not_mixed_in(tmp_path):
    pixels = values(12, 4)
    write_png(tmp_path / "1.png", pixels)
    assert (shown(tmp_path) == of_eight(pixels[..., :3], 12)).all()


def test_a_tiff_of_sixteen_bits_is_read_as_a_png_is(tmp_path):
    assert cv2.imwrite(str(tmp_path / "1.tif"), values(12))
    assert (shown(tmp_path) == of_eight(values(12), 12)).all()


def test_floating_point_is_no_picture(tmp_path):
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.float32)).save(tmp_path / "1.tif")
    _, ok, reasons = read_all(tmp_path, [0])
    assert not ok.any()
    assert "floating-point" in str(reasons[0])


def test_headers_are_read_without_the_pixels(tmp_path):
    path = write_png(tmp_path / "1.png", number_frames(1, 48, 96)[0])
    data = bytearray(path.read_bytes())
    place = data.index(b"IDAT") + 8
    data[place : place + 40] = bytes(40)
    path.write_bytes(data)
    header = header_of(path)
    assert header is not None
    assert (header.width, header.height) == (96, 48)


# Files by themselves, and pictures that move --------------------------------------------------------------------------


def moving(path: Path) -> Path:
    first, *others = [Image.fromarray(frame) for frame in number_frames(5, 48, 96)]
    first.save(path, save_all=True, append_images=others, duration=40, lossless=True)
    return path


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_an_image_alone_is_a_clip_of_one_frame_turned_as_it_says(tmp_path, ending):
    exif = Image.Exif()
    exif[0x0112] = 6
    frame = number_frames(1, 48, 96)[0]
    path = tmp_path / f"photo.{ending}"
    Image.fromarray(frame).save(path, exif=exif, quality=95)
    (clip,), bad = clips([path])
    assert not bad
    assert (clip.id, clip.name, clip.count, clip.info.width, clip.info.height) == ("photo", path.name, 1, 48, 96)
    (batch,) = read(path, [0], 1, 1)
    assert np.abs(batch.frames[0].astype(int) - np.rot90(frame, -1)).mean() < 20
    assert batch.ok.all()


def test_an_animated_webp_is_refused_in_one_line_and_not_planned_without_a_size(tmp_path):
    with pytest.raises(InvalidValueError, match=r"a\.webp.*0 x 0; make a video or a folder of images of it"):
        probe(moving(tmp_path / "a.webp"))


@pytest.mark.parametrize("ending", ["png", "gif"])
def test_other_pictures_that_move_are_videos(tmp_path, ending):
    info = probe(moving(tmp_path / f"a.{ending}"))
    assert (info.kind, info.width, info.height, info.frame_count, info.fps) == ("video", 96, 48, 5, 25.0)


@pytest.mark.parametrize("ending", ["png", "webp"])
def test_in_a_folder_of_images_the_first_picture_of_one_that_moves_is_taken_and_that_is_said(tmp_path, ending):
    moving(tmp_path / f"1.{ending}")
    Image.fromarray(number_frames(1, 48, 96)[0]).save(tmp_path / f"2.{ending}", lossless=True)
    (warning,) = probe(tmp_path).warnings
    assert f"only the first of each file is taken: 1.{ending}" in warning
    frames, ok, _ = read_all(tmp_path, [0, 1])
    assert ok.all()
    assert (frames[0] == frames[1]).all()
