"""extension/by_digest.py: sources are what their digests say, whatever they are called and wherever they lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from auglift.pipeline.extension.by_digest import find_sources
from auglift.pipeline.frames.sources import digest_of, probe
from auglift.stores.errors import InvalidValueError, MissingFileError

from ...fakes.video import number_frames, write_video


@pytest.fixture
def archive(tmp_path) -> Path:
    """S1/walk.mp4, S2/walk.mp4 (another video of the same name) and the folder of images S1/images."""
    root = tmp_path / "archive"
    for number, subject in enumerate(("S1", "S2")):
        (root / subject).mkdir(parents=True)
        write_video(root / subject / "walk.mp4", number_frames(6, first=10 * number), fps=25)
    (root / "S1" / "images").mkdir()
    for number in range(3):
        Image.fromarray(np.full((32, 32, 3), 80 * number, np.uint8)).save(root / "S1" / "images" / f"{number}.png")
    return root


def wanted(root: Path) -> dict[tuple[str, str], Path]:
    paths = [root / "S1" / "walk.mp4", root / "S2" / "walk.mp4", root / "S1" / "images"]
    return {(path.relative_to(root).as_posix(), digest_of(path)): path for path in paths}


def test_the_digest_is_that_of_a_probe(archive):
    for (_, digest), path in wanted(archive).items():
        assert probe(path).digest == digest


def test_sources_are_found_under_their_names_without_a_look_at_anything_else(archive):
    sources = wanted(archive)
    assert find_sources(sources, archive) == sources
    assert find_sources(sources, None, [archive.parent, archive]) == sources


def test_a_moved_archive_with_other_names_is_found_below_its_root(archive, tmp_path):
    sources = wanted(archive)
    (tmp_path / "disk" / "deep").mkdir(parents=True)
    moved = archive.rename(tmp_path / "disk" / "deep" / "moved")
    (moved / "S1").rename(moved / "subject 1")
    (moved / "S2" / "walk.mp4").rename(moved / "renamed.mp4")
    assert find_sources(sources, tmp_path / "disk") == dict(
        zip(sources, [moved / "subject 1/walk.mp4", moved / "renamed.mp4", moved / "subject 1/images"], strict=True)
    )


def test_videos_that_changed_names_with_each_other_are_told_apart(archive):
    sources = wanted(archive)
    (archive / "S1" / "walk.mp4").rename(archive / "x")
    (archive / "S2" / "walk.mp4").rename(archive / "S1" / "walk.mp4")
    (archive / "x").rename(archive / "S2" / "walk.mp4")
    found = find_sources(sources, archive)
    assert list(found.values())[:2] == [archive / "S2" / "walk.mp4", archive / "S1" / "walk.mp4"]


def test_a_video_that_changed_is_refused_by_name_wherever_it_lies_below_the_root(archive):
    sources = wanted(archive)
    with (archive / "S1" / "walk.mp4").open("ab") as file:
        file.write(b"x")
    for root in (archive, archive.parent):
        with pytest.raises(InvalidValueError, match=r"1 of 3 sources changed .*S1/walk.mp4.*put the old files back"):
            find_sources(sources, root)


def test_a_missing_video_is_missing_not_changed_where_another_has_its_file_name(archive):
    sources = wanted(archive)
    (archive / "S1" / "walk.mp4").unlink()
    with pytest.raises(MissingFileError, match=r"1 of 3 sources .* are not in .*S1/walk.mp4.*another --root"):
        find_sources(sources, archive)


def test_without_a_root_the_error_says_that_there_is_one(archive, tmp_path):
    with pytest.raises(MissingFileError, match=r"3 of 3 sources .*with --root"):
        find_sources(wanted(archive), None, [tmp_path])
    with pytest.raises(MissingFileError, match="is no folder"):
        find_sources(wanted(archive), tmp_path / "nothing")
