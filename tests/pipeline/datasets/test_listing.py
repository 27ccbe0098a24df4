"""pipeline/datasets/listing.py: a folder stands for what is in it, and what is left out of it is named."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from auglift.pipeline.datasets.listing import list_sources
from auglift.pipeline.datasets.video import clips
from auglift.stores.errors import AugliftError, InvalidValueError, MissingFileError

from ...fakes.video import number_frames, write_images, write_video

FRAMES = number_frames(3, 48, 96)
# (ending, codec): every ending that FFmpeg here can write a container for.
CONTAINERS = [
    *((ending, "mpeg4") for ending in ("3g2", "3gp", "avi", "m4v", "mkv", "mov", "mp4", "nut", "MP4")),
    *((ending, "libx264") for ending in ("f4v", "flv", "h264", "m2ts", "mts", "ts")),
    *((ending, "mpeg2video") for ending in ("mpeg", "mpg", "mxf", "vob")),
    *(("asf", "wmv2"), ("wmv", "wmv2"), ("webm", "libvpx-vp9"), ("ivf", "libvpx-vp9"), ("mjpeg", "mjpeg")),
    *(("ogv", "libvpx"), ("y4m", "wrapped_avframe")),
]


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def found(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in list_sources([root]).sources]


@pytest.mark.parametrize(("ending", "codec"), CONTAINERS)
def test_a_folder_of_videos_stands_for_every_kind_of_container(tmp_path, ending, codec):
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    try:
        write_video(tmp_path / f"walk.{ending}", number_frames(12, 48, 96), codec=codec, pix_fmt=pix_fmt)
    except Exception as error:
        pytest.skip(f"FFmpeg here does not write it: {error}")
    (clip,), bad = clips([tmp_path])
    assert (clip.id, clip.name, clip.count) == ("walk", f"walk.{ending}", 12)
    assert not bad


@pytest.mark.parametrize("ending", ["bmp", "jpeg", "jpg", "png", "tif", "tiff", "webp", "PNG"])
def test_a_folder_of_images_is_one_clip_whatever_their_kind(tmp_path, ending):
    write_images(tmp_path / "walk", FRAMES[:2], ending)
    write_images(tmp_path / "walk", FRAMES[2:], "webp", "z{:d}")
    (clip,), bad = clips([tmp_path / "walk"])
    assert (clip.id, clip.info.kind, clip.count) == ("walk", "images", 3)
    assert not bad


def test_videos_are_taken_in_natural_order_and_hidden_files_are_passed_over(tmp_path):
    touch(tmp_path, "cam10.mp4", "cam2.mp4", "cam1.mov", "._cam1.mov", ".hidden/a.mp4", "Thumbs.db")
    assert found(tmp_path) == ["cam1.mov", "cam2.mp4", "cam10.mp4"]
    assert list_sources([tmp_path]).skipped == []


def test_a_folder_with_both_kinds_is_refused_with_both_counts(tmp_path):
    touch(tmp_path / "mixed", "a.mp4", "b.mov", "poster.jpg")
    touch(tmp_path, "c.mp4")
    listing = list_sources([tmp_path / "mixed", tmp_path / "c.mp4"])
    assert listing.sources == [tmp_path / "c.mp4"]
    ((path, error),) = listing.bad
    assert path == tmp_path / "mixed"
    assert "holds 2 videos and 1 image" in str(error)


def test_what_is_left_out_of_a_folder_is_counted_and_named(tmp_path):
    touch(tmp_path, "a.mp4", "notes.txt", "a.json", "b.json", "c.json", "more/b.mp4")
    (line,) = list_sources([tmp_path]).skipped
    assert "4 other files and 1 folder in it not taken (a.json, b.json, c.json and 2 more)" in line
    touch(tmp_path / "images", "1.jpg", "masks/1.jpg")
    (line,) = list_sources([tmp_path / "images"]).skipped
    assert line.endswith("1 folder in it not taken (masks/)")


def test_a_folder_of_folders_stands_for_them_each_by_its_own_rule(tmp_path):
    touch(tmp_path, "S1/b.mp4", "S1/a.mov", "S2/run/1.png", "S2/run/2.png", "S10/a.mp4", "readme.txt", "empty/x/y.txt")
    touch(tmp_path, "S3/a.mp4", "S3/b.jpg")
    listing = list_sources([tmp_path])
    assert found(tmp_path) == ["S1/a.mov", "S1/b.mp4", "S2/run", "S10/a.mp4"]
    assert listing.levels == [1, 1, 1, 1]
    assert [path for path, _ in listing.bad] == [tmp_path / "S3"]
    assert ["readme.txt" in line or "y.txt" in line for line in listing.skipped] == [True, True]


def test_ids_in_folders_of_folders_hold_the_folders(tmp_path):
    for name in ("S1/walk.mp4", "S2/walk.mp4", "S2/run.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_video(tmp_path / name, FRAMES)
    write_images(tmp_path / "S3" / "run", FRAMES)
    made, bad = clips([tmp_path])
    assert [clip.id for clip in made] == ["S1/walk", "S2/run", "S2/walk", "S3/run"]
    assert [clip.name for clip in made] == ["S1/walk.mp4", "S2/run.mp4", "S2/walk.mp4", "S3/run"]
    assert not bad


def test_links_that_lead_back_end(tmp_path):
    touch(tmp_path, "a/b/c.mp4")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a", target_is_directory=True)
    assert found(tmp_path) == ["a/b/c.mp4"]


def test_feature_stores_and_their_logs_are_no_sources(tmp_path):
    touch(tmp_path, "a.mp4", "x.zarr/zarr.json", "x.zarr.logs/worker-1.log")
    listing = list_sources([tmp_path])
    assert listing.sources == [tmp_path / "a.mp4"]
    assert listing.skipped == []


@pytest.mark.parametrize("names", [(), ("notes.txt",), ("inner/notes.txt",)])
def test_a_folder_that_holds_nothing_to_read_is_said_and_stops_nothing(tmp_path, names):
    (tmp_path / "none").mkdir()
    touch(tmp_path / "none", *names)
    touch(tmp_path, "a.mp4")
    listing = list_sources([tmp_path / "none", tmp_path / "a.mp4"])
    assert listing.sources == [tmp_path / "a.mp4"]
    ((_, error),) = listing.bad
    assert isinstance(error, MissingFileError)
    assert "neither images nor videos" in str(error)


def test_images_named_one_by_one_are_a_clip_each_and_how_to_make_them_one_is_said(tmp_path):
    touch(tmp_path, "1.jpg", "2.jpg")
    listing = list_sources([tmp_path / "1.jpg", tmp_path / "2.jpg"])
    assert listing.sources == [tmp_path / "1.jpg", tmp_path / "2.jpg"]
    (hint,) = listing.hints
    assert "2 images are named: a clip of one frame each; name their folder" in hint
    assert list_sources([tmp_path]).hints == list_sources([tmp_path / "1.jpg"]).hints == []


def test_no_source_at_all_is_refused():
    with pytest.raises(InvalidValueError, match="no source was given"):
        list_sources([])


@pytest.mark.parametrize(
    "name", ["missing.mp4", "n" * 300 + ".mp4", "/".join(["n" * 200] * 30), "a\nb.mp4", "\udce9.mp4", "\udce9/", "\0"]
)
def test_a_path_that_leads_nowhere_is_one_line_and_the_rest_goes_on(tmp_path, name):
    good = write_video(tmp_path / "good.mp4", FRAMES)
    (clip,), ((_, error),) = clips([tmp_path / name, good])
    assert clip.id == "good"
    assert len(str(error).encode().splitlines()) == 1


def as_ordinary_user(call: Callable[[], Any]) -> Any:
    """What a function returns in a process that has not root's rights."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            os.write(theirs, pickle.dumps(call()))
            status = 0
        finally:
            os._exit(status)
    os.close(theirs)
    with os.fdopen(ours, "rb") as result:
        data = result.read()
    os.waitpid(child, 0)
    return pickle.loads(data)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody can enter: those that pytest makes are for one user alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_file_and_a_folder_without_rights_are_said_and_the_rest_goes_on(public):
    write_video(public / "good.mp4", FRAMES)
    write_video(public / "locked.mp4", FRAMES).chmod(0)
    write_images(public / "images", FRAMES)
    (public / "images" / "2.png").chmod(0)
    touch(public, "closed/a.mp4")
    (public / "closed").chmod(0)
    (public / "images").chmod(0o755)
    clips([public / "good.mp4", public / "images"])  # all that is imported late is imported

    def look() -> tuple[list[tuple[str, tuple[str, ...]]], list[str]]:
        made, bad = clips([public, public / "images", public / "closed", public / "closed" / "a.mp4"])
        assert all(isinstance(error, AugliftError) for _, error in bad)
        return [(clip.id, clip.warnings) for clip in made], [str(error) for _, error in bad]

    made, bad = as_ordinary_user(look)
    assert made == [("good", ()), ("images", ("1 of 3 images cannot be opened",))]
    assert len(bad) == 3
    for name, line in zip(("closed", "locked.mp4", "closed/a.mp4"), bad, strict=True):
        assert f"{name} cannot be read (Permission denied)" in line
