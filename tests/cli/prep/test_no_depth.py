"""`--depth none`: a store of joints and scores alone; what reads stores copes, and what needs depth says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from auglift.cli.prep.main import main as prep_main
from auglift.cli.store import main as store_main
from auglift.cli.train import main as train
from auglift.lifters.data.batches import open_stores
from auglift.lifters.inputs import REPRESENTATIONS, Inputs
from auglift.pipeline.networks.substitutes.no_depth import NoDepth
from auglift.stores.errors import MissingFieldError
from auglift.stores.export import FORMATS
from auglift.stores.reading.store import FeatureStore

from ...fakes.networks import fake_extractor

CALL = ["--domain", "studio", "--clips", "4", "--frames", "6", "--size", "64", "--renderers", "1", "--threads", "1"]


def run(command: click.Command, *arguments: object) -> Result:
    return CliRunner().invoke(command, list(map(str, arguments)))


def prep(out: Path, cache: Path, *more: object) -> Result:
    return run(prep_main, "synth", *CALL, "--pose", "ground-truth", "--cache", cache, "--out", out, *more)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with the same clips with depth and without, and the cache they were made from."""
    folder = tmp_path_factory.mktemp("made")
    for depth in ("ground-truth", "none"):
        result = prep(folder / f"{depth}.zarr", folder / "cache", "--depth", depth)
        assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def url(made) -> str:
    return str(made / "none.zarr")


def test_the_store_holds_what_another_would_and_no_descriptor(made, url):
    flat, deep = FeatureStore.open(url), FeatureStore.open(made / "ground-truth.zarr")
    assert set(deep.fields) - set(flat.fields) == {
        name for name in deep.fields if name.startswith(("uadd/", "radius/"))
    }
    for name in flat.fields:
        np.testing.assert_array_equal(flat.read(name), deep.read(name))
    assert flat.configuration["depth"] == {"name": "none", "weights": "none"}
    assert flat.configuration["uadd"] == {}


def test_no_depth_network_is_called_and_nothing_else_changes():
    frames = np.random.default_rng(0).integers(16, 255, (4, 48, 64, 3), dtype=np.uint8)
    frames[1, 0, 0] = 0  # shows nobody
    whole = fake_extractor()
    flat = replace(whole, depth=NoDepth(), presets=())
    expected, found = (each.extract(frames, np.ones(4, bool)) for each in (whole, flat))
    assert set(found) == {"keypoints", "score", "bbox", "valid"}
    for name, values in found.items():
        np.testing.assert_array_equal(values, expected[name])


@pytest.mark.parametrize("command", [("info",), ("verify", "--deep"), ("report",), ("sequences",)])
def test_the_commands_that_read_a_store_read_it(url, command):
    name, *options = command
    shown = run(store_main, name, url, *options)
    assert shown.exit_code == 0, shown.output
    assert "depth, m" not in shown.output
    assert json.loads(run(store_main, name, url, *options, "--json").output) is not None


def test_the_card_does_not_speak_of_depth(made, url):
    assert run(store_main, "card", url, "--force").exit_code == 0
    text = (made / "none.zarr" / "README.md").read_text()
    assert "without depth" in text
    for absent in ("Descriptor", "depth-estimation", "Depth-aware"):
        assert absent not in text


# MPI-INF-3DHP's format is for stores of that dataset alone.
@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "mpi-inf-3dhp"])
def test_it_is_exported_like_any_other(made, url, tmp_path, kind):
    files = {}
    for depth in ("none", "ground-truth"):
        clips = ["--clip-frames", "5"] if kind == "motionbert" else []
        done = run(store_main, "export", made / f"{depth}.zarr", "--format", kind, "--out", tmp_path / depth, *clips)
        assert done.exit_code == 0, done.output
        files[depth] = sorted(path.name for path in (tmp_path / depth).iterdir())
    assert files["none"] == files["ground-truth"]


def test_a_picture_shows_frames_and_joints_alone_and_beside_others_the_rest_too(made, url, tmp_path):
    sizes = []
    for number, stores in enumerate(([url], [url, str(made / "ground-truth.zarr")])):
        out = tmp_path / f"{number}.png"
        drawn = run(store_main, "picture", *stores, "--videos", made / "cache", "--count", 2, "--out", out)
        assert drawn.exit_code == 0, drawn.output
        with Image.open(out) as image:
            sizes.append(image.size)
    assert sizes[0][0] == sizes[1][0]
    assert sizes[0][1] < sizes[1][1] / 2


def test_xy_and_xyc_are_made_of_it_and_whatever_needs_depth_says_how_to_get_some(url):
    for name, row in REPRESENTATIONS.items():
        if row.streams:
            continue  # of depth or not, it has no features: tests/lifters/training/test_features.py
        if row.preset is None:
            assert len(open_stores([url], Inputs(name))) == 1
            continue
        with pytest.raises(MissingFieldError, match=r"no uadd/.* holds what xy, xyc needs\. .*--depth NAME") as error:
            open_stores([url], Inputs(name))
        assert "\n" not in str(error.value)


def test_a_training_from_depth_is_refused_in_one_line(url, tmp_path):
    refused = run(train, url, "--inputs", "uadd", "--window", 3, "--out", tmp_path / "run")
    assert refused.exit_code == 2
    assert refused.output.startswith("error: ")
    assert refused.output.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_descriptors_without_depth_are_a_contradiction(made, tmp_path):
    refused = prep(tmp_path / "x.zarr", made / "cache", "--depth", "none", "--uadd", "paper")
    assert refused.exit_code == 2
    assert "--uadd paper needs depth" in refused.output
    assert not (tmp_path / "x.zarr").exists()


def test_another_depth_is_another_store(made, url):
    refused = prep(Path(url), made / "cache", "--depth", "ground-truth")
    assert refused.exit_code == 2
    assert "depth" in refused.output
    assert torch.isfinite(torch.from_numpy(FeatureStore.open(url).read("keypoints"))).any()
