"""Features on their way into a store: widths of the model, counts of what was clipped, families, selections, merges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from auglift.cli.info import tables
from auglift.pipeline.computing import Computing
from auglift.pipeline.execution.serial import SerialExecutor, execute
from auglift.pipeline.extension.plan import clips_of, extension_of
from auglift.pipeline.extract import Extractor, describe
from auglift.pipeline.features.streams import HALF_MAX, streams_of
from auglift.pipeline.networks import compiled
from auglift.pipeline.networks.substitutes.stored import FromStore
from auglift.stores.derived.job import derive
from auglift.stores.derived.merge import merge_plan
from auglift.stores.derived.select import Selection, select_plan
from auglift.stores.errors import InvalidValueError
from auglift.stores.locations.choose import locate
from auglift.stores.reading.store import FeatureStore
from auglift.stores.summaries.info import summary
from auglift.stores.writing.verify import verify

from ...fakes.job import fake_plan
from ...fakes.networks import FakeDepth, FakePose, fake_extractor
from ...fakes.tiny_networks import blocks, tiny_extractor
from ...fakes.video import number_frames, write_video

CPU = torch.device("cpu")


class MappedPose(FakePose):
    """The fake with a feature: the frame's brightness, `channels` wide, times `factor`."""

    def __init__(self, channels: int = 6, factor: float = 1.0):
        self.channels, self.factor = channels, factor

    def with_features(self, sampling: str) -> dict[str, Any]:
        return {"name": self.name, "weights": "none", "channels": self.channels, "sampling": sampling}

    def _bright(self, frames: Tensor, frame_index: Tensor, joints: int = 17) -> Tensor:
        bright = self.factor * frames.float().mean(dim=(1, 2, 3))[frame_index]
        return bright[:, None, None].expand(-1, joints, self.channels)

    def estimate_with_features(self, frames: Tensor, boxes: Tensor, frame_index: Tensor):
        return *self.estimate(frames, boxes, frame_index), self._bright(frames, frame_index)

    def features_at(self, frames: Tensor, boxes: Tensor, frame_index: Tensor, joints: Tensor) -> Tensor:
        return self._bright(frames, frame_index, joints.shape[1])


class MappedDepth(FakeDepth):
    def with_features(self, sampling: str) -> dict[str, Any]:
        return {"name": self.name, "weights": "none", "channels": 3, "sampling": sampling}

    def estimate_with_map(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        return self.estimate(frames), frames[:, ::8, ::8].permute(0, 3, 1, 2).float()


def extractor_of(pose: MappedPose, wanted: tuple[str, ...] = ("pose", "depth")) -> Extractor:
    fake, depth = fake_extractor(), MappedDepth()
    return replace(fake, pose=pose, depth=depth, streams=streams_of(wanted, "nearest_1", pose, depth))


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sources")
    frames = number_frames(20, width=96, height=64)
    frames[::3] = 0  # nobody
    write_video(folder / "a.mp4", frames, fps=30)
    return [folder / "a.mp4"]


def make(out: Path, sources: list[Path], pose: MappedPose, wanted: tuple[str, ...] = ("pose", "depth")) -> FeatureStore:
    extractor = extractor_of(pose, wanted)
    assert not execute(fake_plan(sources, extractor), locate(out), SerialExecutor(lambda: extractor)).failures
    return FeatureStore.open(out)


def test_a_store_is_as_wide_as_its_network_and_whole(sources, tmp_path):
    store = make(tmp_path / "s.zarr", sources, MappedPose(6))
    assert store.fields["feature/pose"].shape == (17, 6)
    assert store.fields["feature/depth"].shape == (17, 3)
    assert store.array("feature/pose").dtype == np.float16
    assert verify(store.location, deep=True) == []
    values, valid = store.read("feature/pose"), store.read("valid") > 0
    assert np.isfinite(values[valid]).all()
    assert np.isnan(values[~valid]).all()
    assert store.attributes["configuration"]["features"]["pose"]["channels"] == 6
    assert "clipped" not in store.attributes["counts"]


def test_what_float16_cannot_hold_is_clipped_counted_and_reported(sources, tmp_path):
    store = make(tmp_path / "s.zarr", sources, MappedPose(6, factor=1e6), ("pose",))
    values, valid = store.read("feature/pose"), store.read("valid") > 0
    assert (values[valid] == HALF_MAX).all()
    assert store.attributes["counts"]["clipped"] == valid.sum() * 17 * 6
    rows = {row for table in tables(summary(store)) for row in table.columns[0].cells}
    assert "clipped" in rows


def test_a_width_that_changed_is_another_plan(sources, tmp_path):
    make(tmp_path / "s.zarr", sources, MappedPose(6))
    with pytest.raises(InvalidValueError, match=r"features\.pose\.channels: 7"):
        make(tmp_path / "s.zarr", sources, MappedPose(7))


def test_a_family_holds_features_of_the_stored_joints_and_nothing_else(sources, tmp_path):
    whole = make(tmp_path / "whole.zarr", sources, MappedPose(6))
    plain = fake_extractor()
    execute(fake_plan(sources, plain), locate(tmp_path / "s.zarr"), SerialExecutor(lambda: plain))
    store, depth, pose = FeatureStore.open(tmp_path / "s.zarr"), MappedDepth(), MappedPose(6)
    streams = streams_of(("pose", "depth"), "nearest_1", FromStore(), depth, pose)
    extractor = Extractor(FromStore(), FromStore(), depth, (), CPU, streams=streams)
    settings = {**describe(extractor), "batch": 4, "threads": 1}
    clips = clips_of(store, sources[0].parent)
    plan = extension_of(store, clips, "v2", settings=settings, presets=())
    assert [field.name for field in plan.fields] == ["feature/pose", "feature/depth"]
    assert not execute(plan, plan.location, SerialExecutor(lambda: extractor)).failures
    store = FeatureStore.open(tmp_path / "s.zarr")
    for name in ("feature/pose", "feature/depth"):
        np.testing.assert_array_equal(store.read(f"{name}@v2"), whole.read(name))


def test_selections_keep_features_and_merges_refuse_those_of_another_network(sources, tmp_path):
    store = make(tmp_path / "a.zarr", sources, MappedPose(6))
    other = make(tmp_path / "b.zarr", sources, MappedPose(7))
    derive(select_plan(store.url, Selection(fields=("feature/pose",))), tmp_path / "some.zarr")
    np.testing.assert_array_equal(
        FeatureStore.open(tmp_path / "some.zarr").read("feature/pose"), store.read("feature/pose")
    )
    with pytest.raises(InvalidValueError, match=r"cannot be merged: features\.pose\.channels: 6"):
        merge_plan([store.url, other.url])
    narrow = []
    for made in (store, other):
        narrow.append(tmp_path / f"narrow-{Path(made.url).name}")
        derive(select_plan(made.url, Selection(fields=("keypoints", "score"))), narrow[-1])
    assert merge_plan(narrow).layout.frames == 2 * store.frames  # features that are gone do not matter


def test_a_compiled_network_gives_its_map_too(monkeypatch):
    pictures = blocks(3)
    plain, faster = tiny_extractor("cpu"), tiny_extractor("cpu")
    found = []
    for extractor in (plain, faster):
        streams = streams_of(("pose", "depth"), "nearest_4", extractor.pose, extractor.depth)
        extractor = replace(extractor, streams=streams)
        if extractor.pose is faster.pose:
            same = lambda function, most: compiled.Compiled(function, most, lambda f: f)  # noqa: E731
            monkeypatch.setattr("auglift.pipeline.computing.Compiled", same)
            Computing(compile="on").set_up(extractor, batch=2, threads=1)
        found.append(extractor.extract(pictures, np.ones(3, bool)))
    for name in ("feature/pose", "feature/depth"):
        np.testing.assert_allclose(found[0][name].astype(float), found[1][name], atol=0.02, rtol=0.01)
