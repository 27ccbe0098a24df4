"""`--features` from the command line: widths, dry runs, extend, and what is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from auglift.cli.prep.main import main as prep
from auglift.lifters.data.batches import held
from auglift.stores.reading.store import FeatureStore

from ...fakes.video import number_frames, write_video

TINY = ("--detector", "tiny", "--pose", "tiny", "--depth", "tiny", "--threads", "1")


def run(*arguments: object):
    return CliRunner().invoke(prep, [str(each) for each in arguments])


def line(result) -> str:
    """The one line of an error."""
    assert result.exit_code == 2, result.output
    (only,) = [each for each in result.output.splitlines() if each.startswith("error: ")]
    return only


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_video(path, number_frames(6, width=160, height=120), fps=30)
    return path


@pytest.fixture(scope="module")
def made(clip) -> Path:
    """A store with features, and one without."""
    for name, more in (("with", ("--features", "depth,pose")), ("without", ())):
        done = run("video", clip, "--out", clip.parent / f"{name}.zarr", *TINY, *more)
        assert done.exit_code == 0, done.output
    return clip.parent


def test_a_store_has_the_streams_as_wide_as_their_networks(made):
    store = FeatureStore.open(made / "with.zarr")
    assert store.fields["feature/pose"].shape == (17, 480)
    assert store.fields["feature/depth"].shape == (17, 16)
    assert store.configuration["features"]["pose"]["sampling"] == "nearest_4"
    assert {"v2", "image", "image+uadd"} <= set(held(store))
    assert not {"v2", "image"} & set(held(FeatureStore.open(made / "without.zarr")))
    assert "features" not in FeatureStore.open(made / "without.zarr").configuration


def test_a_dry_run_counts_their_bytes_without_loading_a_network(clip):
    sizes = []
    for features in ((), ("--features", "pose,depth")):
        done = run("video", clip, "--out", clip.parent / "dry.zarr", "--dry-run", "--json", *features)
        sizes.append(json.loads(done.stdout.splitlines()[-1])["bytes"])
    assert sizes[1] - sizes[0] == 6 * 17 * (1024 + 256) * 2


def test_extend_adds_them_and_nothing_else(made):
    done = run("extend", made / "without.zarr", "--features", "pose,depth", "--name", "v2", "--threads", "1")
    assert done.exit_code == 0, done.output
    store, whole = FeatureStore.open(made / "without.zarr"), FeatureStore.open(made / "with.zarr")
    assert list(store.families["v2"].own_fields) == ["feature/pose", "feature/depth"]
    np.testing.assert_array_equal(store.read("feature/depth@v2"), whole.read("feature/depth"))


def test_another_pose_networks_features_are_not_those_of_the_stores_joints(made):
    asked = ("--features", "pose", "--name", "other", "--weights", "random", "--dry-run", "--calibrate", "--threads", 1)
    assert "name a pose network with --pose" in line(run("extend", made / "without.zarr", *asked))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--features", "colour"), "there are pose, depth"),
        (("--features", "pose", "--feature-sampling", "cubic"), "there are nearest_4, nearest_1, bilinear"),
        (("--features", "depth", "--depth", "none"), "'none' has no feature map"),
        (("--features", "pose", "--pose", "blazepose"), "'blazepose' has no feature map"),
        (("--features", "pose", "--pose", "ground-truth"), "ground-truth"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(clip, more, words):
    assert words in line(run("video", clip, "--out", clip.parent / "refused.zarr", *TINY, *more))
    assert not (clip.parent / "refused.zarr").exists()


def test_other_features_are_another_store(made, clip):
    again = run(
        "video", clip, "--out", made / "with.zarr", *TINY, "--features", "pose,depth", "--feature-sampling", "nearest_1"
    )
    assert "features.depth.sampling" in line(again)
