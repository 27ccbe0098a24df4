"""panels.py and picture.py: a picture shows the right frames of the right video, and is drawn."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from auglift.pipeline.frames.sources import probe
from auglift.pipeline.pictures.panels import Panel, choose_frames, depth_maps, find_source, panels
from auglift.pipeline.pictures.picture import draw, view
from auglift.stores.errors import InvalidValueError, MissingFieldError, MissingFileError, StoreWriteError
from auglift.stores.format.skeleton import H36M_17
from auglift.stores.reading.store import FeatureStore

from ...fakes.job import run_fake
from ...fakes.video import number_frames, read_number, write_video


@pytest.fixture(scope="module")
def footage(tmp_path_factory) -> Path:
    """Two videos whose frames carry their numbers, from 0 and from 100; frames 4 to 7 of the first show nobody."""
    folder = tmp_path_factory.mktemp("footage")
    frames = number_frames(12, width=160, height=120)
    frames[4:8] = 0
    write_video(folder / "first.mp4", frames)
    write_video(folder / "second.mp4", number_frames(12, width=160, height=120, first=100))
    return folder


@pytest.fixture(scope="module")
def store(footage, tmp_path_factory) -> FeatureStore:
    out = tmp_path_factory.mktemp("store") / "x.zarr"
    run_fake(out, [footage / "first.mp4", footage / "second.mp4"])
    return FeatureStore.open(out)


def a_panel(width: int = 64, height: int = 48, **changes) -> Panel:
    rng = np.random.default_rng(0)
    d = rng.uniform(2, 3, 17)
    made = Panel(
        title="synth: walk, frame 3",
        image=rng.integers(0, 255, (height, width, 3), dtype=np.uint8),
        depth=rng.uniform(2, 6, (height // 2, width // 2)),
        keypoints=rng.uniform((5, 5), (width - 5, height - 5), (17, 2)),
        score=rng.uniform(0, 1.1, 17),
        radius=rng.uniform(3, 9, 17),
        stats=np.stack([d, d - 0.2, d + rng.uniform(0, 4, 17)], axis=1),
        bbox=np.array([4.0, 4, width - 4, height - 4]),
        depth_of_joints=d + 0.05,
    )
    return replace(made, **changes)


def test_a_panel_shows_the_frame_of_the_source_that_the_store_describes(store, footage):
    shown = panels(store, [2, 14, 23], footage, None)
    assert [read_number(panel.image) for panel in shown] == [2, 102, 111]
    for panel, frame in zip(shown, (2, 14, 23), strict=True):
        np.testing.assert_array_equal(panel.keypoints, store.read("keypoints", frame, frame + 1)[0])
        np.testing.assert_array_equal(panel.stats, store.read("uadd/paper", frame, frame + 1)[0])


def test_chosen_frames_show_a_person_and_are_spread(store):
    chosen = choose_frames(store, 5)
    assert chosen == sorted(set(chosen))
    assert not set(chosen) & {4, 5, 6, 7}
    assert len(choose_frames(store, 100)) == 20
    assert min(chosen) < 12 <= max(chosen)


def test_a_video_is_found_below_the_folder_also_beside_another_of_its_name(store, footage, tmp_path):
    row = store.sequences[0]
    digest = probe(footage / "first.mp4").digest
    (tmp_path / "a").mkdir()
    write_video(tmp_path / "a" / "first.mp4", number_frames(6, width=160, height=120))
    with pytest.raises(MissingFileError, match=r"\(1 of that name are other videos\); name its folder with --videos"):
        find_source(row, digest, tmp_path)
    (tmp_path / "b" / "c").mkdir(parents=True)
    right = tmp_path / "b" / "c" / "first.mp4"
    right.write_bytes((footage / "first.mp4").read_bytes())
    assert find_source(row, digest, tmp_path) == right
    assert find_source(row, digest, right) == right


def test_a_video_whose_name_is_no_text_is_found_again(store, footage, tmp_path):
    row = replace(store.sequences[0], source="caf\\xe9.mp4")
    digest = probe(footage / "first.mp4").digest
    there = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    there.write_bytes((footage / "first.mp4").read_bytes())
    assert find_source(row, digest, tmp_path) == there


@pytest.mark.parametrize(
    ("frame", "message"), [(99, r"frame 99 of .*, which has frames 0 to 23"), (5, r"no person was found in frame 5 of")]
)
def test_a_frame_that_cannot_be_drawn_is_an_error(store, footage, frame, message):
    with pytest.raises(InvalidValueError, match=message):
        panels(store, [frame], footage, None)


def test_a_descriptor_without_bounds_or_that_is_not_there_is_an_error(store, footage):
    with pytest.raises(InvalidValueError, match="no minimum and maximum"):
        panels(store, [0], footage, None, "fixed")
    with pytest.raises(MissingFieldError, match="uadd/none"):
        panels(store, [0], footage, None, "none")


def test_true_depth_that_is_not_beside_the_video_is_an_error(footage):
    depth = depth_maps({"depth": {"name": "ground-truth"}}, None)
    assert depth is not None
    with pytest.raises(MissingFileError, match="--no-depth leaves the map out"):
        depth(footage / "first.mp4", 0, np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (640, 360)])
def test_the_view_is_a_square_that_holds_the_person_as_far_as_the_frame_does(size):
    panel = a_panel(*size)
    left, top, right, bottom = view(panel)
    assert right - left == pytest.approx(bottom - top)
    assert (panel.keypoints >= (left, top)).all()
    assert (panel.keypoints <= (right, bottom)).all()
    small = replace(panel, keypoints=panel.keypoints / 8 + 20, bbox=np.array([20.0, 20, 26, 26]))
    assert (view(small)[2] - view(small)[0]) < max(size)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_panels_give_the_same_file(tmp_path, suffix):
    files = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for file in files:
        draw([a_panel(), a_panel(depth=None, depth_of_joints=None)], file, "paper")
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_joint_is_drawn_where_it_is_in_the_colour_of_its_confidence(tmp_path):
    """One disk, on black: red where nothing is sure, green where everything is."""
    mean = {}
    for score in (0.0, 1.0):
        panel = a_panel(
            image=np.zeros((64, 64, 3), np.uint8),
            depth=None,
            keypoints=np.full((17, 2), 32.0),
            radius=np.full(17, 20.0),
            score=np.full(17, score),
            bbox=np.array([2.0, 2, 62, 62]),
        )
        draw([panel], tmp_path / "x.png", "paper")
        picture = np.asarray(Image.open(tmp_path / "x.png").convert("RGB")).astype(int)
        upper = picture[: len(picture) // 2, : picture.shape[1] // 2]
        mean[score] = (upper[..., 0] - upper[..., 1]).mean()
    assert mean[0.0] > 5
    assert mean[1.0] < -5


def test_joints_without_depth_or_confidence_do_not_stop_the_picture(tmp_path):
    panel = a_panel()
    gone = np.arange(len(H36M_17.joints)) % 3 == 0
    assert panel.stats is not None
    assert panel.radius is not None
    panel.stats[gone] = np.nan
    panel.radius[gone] = np.nan
    panel.keypoints[gone] = np.nan
    panel.score[gone] = np.nan
    draw([panel], tmp_path / "x.png", "paper")
    assert Image.open(tmp_path / "x.png").width > 300


def test_a_title_is_drawn_as_it_is(tmp_path):
    draw([a_panel(title="video: $\\frac{walk$ [1]")], tmp_path / "a.svg", "paper")
    assert (tmp_path / "a.svg").stat().st_size


def test_a_picture_of_another_kind_or_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(InvalidValueError, match=r"a picture ends in \.png, \.svg, \.pdf"):
        draw([a_panel()], tmp_path / "x.bmp", "paper")
    with pytest.raises(StoreWriteError, match="cannot be written"):
        draw([a_panel()], tmp_path / "no" / "x.png", "paper")
