"""pipeline/synth/rendered.py: clips on disk are whole or not there, and the same bytes whoever draws them."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from auglift.pipeline.frames.sources import probe, read
from auglift.pipeline.synth.clip import plan_clips
from auglift.pipeline.synth.rendered import DEPTH, MILLIMETRE, TRUTH, VIDEO, is_drawn, render_clips
from auglift.pipeline.synth.video import render_clip
from auglift.stores.errors import StoreWriteError

from ...fakes.folders import digest_of_folder

CLIPS = plan_clips("studio", 2, seed=3, frames=10, size=64)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    assert render_clips(CLIPS, folder, depth=True) == 2
    return folder


def test_the_video_shows_the_frames_that_were_drawn_in_their_order(drawn):
    for clip in CLIPS:
        info = probe(drawn / clip.id / VIDEO)
        assert (info.frame_count, info.fps, info.width, info.height) == (10, 25, 64, 64)
        (decoded,) = read(info.path, np.arange(10), 16, 1)
        exact = np.concatenate([batch.image.numpy() for batch in render_clip(clip)]).astype(float)
        errors = np.abs(decoded.frames[:, None].astype(float) - exact[None]).mean(axis=(2, 3, 4))
        assert decoded.ok.all()
        assert errors.diagonal().max() < 6
        # Neighbours may look alike: none is nearer than the right one by more than the coding's own noise.
        assert (errors.diagonal() - errors.min(axis=1)).max() < 0.1
        assert (errors.diagonal() < errors[:, ::-1].diagonal()).all()


def test_depth_is_kept_to_half_a_millimetre(drawn):
    for clip in CLIPS:
        exact = np.concatenate([batch.depth.numpy() for batch in render_clip(clip)])
        kept = np.asarray(zarr.open_array(drawn / clip.id / DEPTH, mode="r")[:]) * MILLIMETRE
        near = exact < 65
        assert np.abs(kept - exact)[near].max() <= 0.5 * MILLIMETRE + 1e-5
        assert near.mean() > 0.5


def test_processes_draw_the_same_bytes(drawn, tmp_path):
    counted = []
    assert render_clips(CLIPS, tmp_path, depth=True, workers=2, on_frames=counted.append) == 2
    assert digest_of_folder(tmp_path) == digest_of_folder(drawn)
    assert sum(counted) == 20


def test_depth_that_is_drawn_later_joins_the_same_video(drawn, tmp_path):
    render_clips(CLIPS, tmp_path, depth=False)
    before = [(tmp_path / clip.id / VIDEO).stat().st_mtime_ns for clip in CLIPS]
    assert not any(is_drawn(clip, tmp_path, depth=True) for clip in CLIPS)
    assert render_clips(CLIPS, tmp_path, depth=True) == 2
    assert digest_of_folder(tmp_path) == digest_of_folder(drawn)
    assert [(tmp_path / clip.id / VIDEO).stat().st_mtime_ns for clip in CLIPS] == before


def test_what_is_there_is_not_drawn_again(drawn):
    counted = []
    assert render_clips(CLIPS, drawn, depth=True, on_frames=counted.append) == 0
    assert sum(counted) == 20


@pytest.mark.parametrize("room", [100, 6000])
def test_a_disk_that_fills_is_an_error_and_leaves_nothing_half_written(tmp_path, room):
    """A limit on the size of files, as the system sets it, takes the place of the full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(StoreWriteError, match=r"cannot be written to .*; make room, or name another folder"):
            render_clips(CLIPS, tmp_path, depth=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreWriteError, match="cannot be written"):
        render_clips(CLIPS, tmp_path / "file" / "clips", depth=False)


def test_what_a_killed_process_left_is_taken_away_and_what_a_living_one_draws_is_not(drawn, tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left, alive = tmp_path / f".{CLIPS[0].id}.{dead.pid}.part", tmp_path / f".{CLIPS[0].id}.1.part"
    for part in (left, alive):
        part.mkdir()
        (part / VIDEO).write_bytes(b"half")
    render_clips(CLIPS, tmp_path, depth=False)
    assert not left.exists()
    assert alive.exists()
    assert (tmp_path / CLIPS[0].id / VIDEO).read_bytes() == (drawn / CLIPS[0].id / VIDEO).read_bytes()


def test_the_truth_is_that_of_the_renderer(drawn):
    for clip in CLIPS:
        batches = list(render_clip(clip))
        with np.load(drawn / clip.id / TRUTH, allow_pickle=False) as kept:
            np.testing.assert_array_equal(kept["pose3d"], np.concatenate([b.joints_h36m for b in batches]))
            np.testing.assert_array_equal(kept["visible"], np.concatenate([b.visible_h36m for b in batches]))
            assert kept["bbox"].shape == (10, 4)
