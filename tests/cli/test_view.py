"""auglift-store view: the recording, opened by Rerun's own reader."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from auglift.cli.store import main
from auglift.lifters.evaluation.evaluate import predictions
from auglift.lifters.inputs import Inputs
from auglift.lifters.training.checkpoint import Run
from auglift.lifters.training.setup import Setup, parse_changes
from auglift.lifters.training.train import train
from auglift.pipeline.frames.sources import probe
from auglift.pipeline.pictures.recording import record
from auglift.stores.format.skeleton import H36M_17
from auglift.stores.reading.store import FeatureStore

from ..fakes.families import MadeFamily
from ..fakes.given import GivenStore
from ..fakes.given import people as seen
from ..fakes.people import people
from ..fakes.video import number_frames, read_number, write_video

pytest.importorskip("rerun", reason="rerun-sdk is not installed (extra viz)")
LENGTHS = (40, 25)
FRAMES = sum(LENGTHS)
FIRST = "/S1\\/walk\\ 0\\/cam1"  # as Rerun writes `S1/walk 0/cam1`


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


class Read:
    """A recording as Rerun's reader sees it."""

    def __init__(self, path: Path):
        from rerun.chunk import RrdReader

        reader = RrdReader(path)
        (self.recording,) = reader.recordings()
        self.blueprints = reader.blueprints()
        self.chunks = [chunk for chunk in reader.stream() if chunk.entity_path != "/__properties"]
        self.entities = {chunk.entity_path for chunk in self.chunks}

    def rows(self, entity: str, component: str) -> list[tuple[int, Any]]:
        """(number of the frame, value), in the order of the frames."""
        found = []
        for chunk in self.chunks:
            if chunk.entity_path == entity and not chunk.is_static:
                batch = chunk.to_record_batch().to_pydict()
                if component in batch:
                    found += zip(batch["frame"], batch[component], strict=True)
        return sorted(found, key=lambda pair: pair[0])


def made(folder: Path, changes: Mapping[str, Any] | None = None, **given: np.ndarray) -> Path:
    fields = {**seen(FRAMES), **given}
    GivenStore(lengths=LENGTHS, shard_frames=32, given=fields, **(changes or {})).run(folder / "walk.zarr")
    return folder / "walk.zarr"


def test_reruns_own_reader_finds_every_entity_and_every_frame(tmp_path):
    store = made(tmp_path)
    MadeFamily().run(store)
    done = run("view", store, "--out", tmp_path / "a.rrd", "--no-video", "--json")
    assert done.exit_code == 0, done.stderr
    read = Read(tmp_path / "a.rrd")
    joints = H36M_17.joints
    expected = {"/", FIRST}
    expected |= {f"{FIRST}/camera/image{e}" for e in ("", "/joints", "/true_joints", "/box")}
    expected |= {f"{FIRST}/camera/image/disks/{name}" for name in ("paper", "paper@base")}
    expected |= {
        f"{FIRST}/{curve}/{joint}" for curve in ("score", "depth/paper", "depth/paper@base") for joint in joints
    }
    expected |= {f"{FIRST}/camera/true_pose"}
    assert {entity.replace("paper\\@base", "paper@base") for entity in read.entities} == expected
    assert json.loads(done.stdout)["entities"] == len(expected)
    assert len(read.blueprints) == 1
    for entity in read.entities - {"/", FIRST, f"{FIRST}/camera/image"}:
        rows = [row for chunk in read.chunks if chunk.entity_path == entity and not chunk.is_static
                for row in chunk.to_record_batch().to_pydict()["frame"]]  # fmt: skip
        assert sorted(rows) == list(range(LENGTHS[0])), entity


def test_joints_disks_depth_and_truth_are_those_of_the_store(tmp_path):
    path = made(tmp_path)
    run("view", path, "--out", tmp_path / "a.rrd", "--no-video")
    read, store = Read(tmp_path / "a.rrd"), FeatureStore.open(path)
    plane = f"{FIRST}/camera/image"

    def values(entity: str, component: str) -> np.ndarray:
        return np.array([value for _, value in read.rows(entity, component)])

    def fields(name: str) -> np.ndarray:
        return store.read(name, 0, LENGTHS[0])

    assert np.allclose(values(f"{plane}/joints", "Points2D:positions"), fields("keypoints"))
    assert np.allclose(values(f"{FIRST}/camera/true_pose", "Points3D:positions"), fields("target/pose3d"))
    assert np.allclose(values(f"{FIRST}/depth/paper/left_wrist", "Scalars:scalars"), fields("uadd/paper")[:, 13])
    assert np.allclose(values(f"{FIRST}/score/left_wrist", "Scalars:scalars")[:, 0], fields("score")[:, 13])
    rings = values(f"{plane}/disks/paper", "LineStrips2D:strips")  # (F, 17, points, 2)
    radius = np.linalg.norm(rings - fields("keypoints")[:, :, None], axis=-1)
    assert np.allclose(radius, fields("radius/paper")[..., None], atol=1e-2)


def test_where_nobody_is_nothing_stays_from_the_frame_before(tmp_path):
    valid, score = np.ones(FRAMES), seen(FRAMES)["keypoints"]
    valid[3:7] = 0
    score[10, 4] = np.nan  # one joint alone
    path = made(tmp_path, valid=valid, keypoints=score)
    run("view", path, "--out", tmp_path / "a.rrd", "--no-video")
    counts = [
        len(row) for _, row in Read(tmp_path / "a.rrd").rows(f"{FIRST}/camera/image/joints", "Points2D:positions")
    ]
    assert counts[2:8] == [17, 0, 0, 0, 0, 17]
    assert counts[10] == 16


def test_every_frame_of_the_video_is_at_its_number_with_its_depth_map(tmp_path):
    frames = number_frames(LENGTHS[0], 96, 128)
    write_video(tmp_path / "0.mp4", frames)
    named = {"S1/walk 0/cam1": {"digest": probe(tmp_path / "0.mp4").digest}}
    tiny = {"name": "tiny-depth", "side": 28}
    path = made(tmp_path, {"configuration": {"sequences": named, "depth": tiny}})
    done = run("view", path, "--out", tmp_path / "a.rrd", "--videos", tmp_path, "--depth-map", "--json")
    assert json.loads(done.stdout)["pictures"] == LENGTHS[0]
    assert json.loads(done.stdout)["notes"] == ["the first of 2 sequences; --sequence names others"]
    read = Read(tmp_path / "a.rrd")
    pictures = read.rows(f"{FIRST}/camera/image", "EncodedImage:blob")
    numbers = [read_number(np.asarray(Image.open(io.BytesIO(bytes(blob[0]))))) for _, blob in pictures]
    assert [frame for frame, _ in pictures] == numbers == list(range(LENGTHS[0]))
    assert len(read.rows(f"{FIRST}/depth_map", "DepthImage:buffer")) == LENGTHS[0]


def test_what_is_not_at_hand_is_said_and_the_rest_is_written(tmp_path):
    path = made(tmp_path, {"presets": (), "optional": (), "configuration": {"depth": {"name": "none"}}})
    done = run("view", path, "--out", tmp_path / "a.rrd", "--videos", tmp_path, "--depth-map")
    assert done.exit_code == 0, done.stderr
    assert "no depth maps: the store was made without depth" in done.stderr
    assert "no video of S1/walk 0/cam1: the store does not say which file" in done.stderr
    assert f"wrote {tmp_path / 'a.rrd'}: 40 frames, 0 with a picture" in done.stdout
    assert not [entity for entity in Read(tmp_path / "a.rrd").entities if "depth" in entity or "pose" in entity]


def test_several_sequences_lie_side_by_side(tmp_path):
    path = made(tmp_path)
    ids = [row.id for row in FeatureStore.open(path).sequences]
    call = ("view", path, "--out", tmp_path / "a.rrd", "--no-video", "--json")
    done = json.loads(run(*call, *(part for id in ids for part in ("--sequence", id))).stdout)
    assert (done["sequences"], done["frames"]) == (ids, FRAMES)
    read = Read(tmp_path / "a.rrd")
    assert len({entity.split("/camera")[0] for entity in read.entities if "/camera" in entity}) == 2


def test_poses_that_a_lifter_predicts_stand_where_the_person_does(tmp_path):
    store = people(tmp_path / "people.zarr")
    changes = parse_changes("simple_baseline", ["width=16"])
    setup = Setup((store.url,), "simple_baseline", Inputs("xy"), 1, 64, 1, changes, device="cpu")
    train(setup, tmp_path / "run")
    row = store.sequences[0]
    done = run("view", store.url, "--lifter", tmp_path / "run", "--out", tmp_path / "a.rrd", "--no-video",
               "--sequence", row.id)  # fmt: skip
    assert done.exit_code == 0, done.stderr
    trained = Run(tmp_path / "run")
    expected = predictions(trained.model(), store, trained.inputs, row.split, setup.hyperparameters.training.flip)
    mine = (expected.frame >= row.start) & (expected.frame < row.stop)
    read = Read(tmp_path / "a.rrd")
    (entity,) = [entity for entity in read.entities if entity.endswith("predicted_pose")]
    shown = dict(read.rows(entity, "Points3D:positions"))
    pelvis = store.read("target/pose3d", row.start, row.stop)[:, :1]
    for frame, pose in zip(expected.frame[mine] - row.start, expected.pose.numpy()[mine], strict=True):
        assert np.allclose(shown[frame], pose + pelvis[frame], atol=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--out", "a.mp4"), "must end in .rrd"),
        (("--out", "no/a.rrd"), "there is no folder no"),
        (("--out", "there.rrd"), "there.rrd is there already"),
        (("--out", "a.rrd", "--sequence", "S9"), "no sequence has id=S9"),
        (("--out", "a.rrd", "--sequence", "S1/walk 0/cam1", "--sequence", "S9"), "has no sequence 'S9'"),
        (("--out", "a.rrd", "--lifter", "no"), "no is no run"),
        (("--out", "a.rrd", "--videos", "no"), "--videos no: there is no such folder"),
    ],
)
def test_a_wrong_call_is_one_line_and_writes_nothing(tmp_path, monkeypatch, options, words: str):
    store = made(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("there.rrd").write_text("mine")
    shown = run("view", store, *options)
    assert shown.exit_code == 2
    assert shown.stderr.startswith("error: ")
    assert words in shown.stderr
    assert shown.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there.rrd", "walk.zarr"]


def test_without_rerun_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rerun", None)
    shown = run("view", made(tmp_path), "--out", tmp_path / "a.rrd", "--no-video")
    assert shown.exit_code == 2
    assert "pip install 'auglift[viz]'" in shown.stderr


def test_a_recording_that_fails_leaves_no_file(tmp_path):
    store = FeatureStore.open(made(tmp_path))

    def broken(sequence, numbers):
        raise RuntimeError("the decoder died")
        yield

    with pytest.raises(RuntimeError, match="decoder"):
        record(store, list(store.sequences), tmp_path / "a.rrd", broken)
    assert [path.name for path in tmp_path.iterdir()] == ["walk.zarr"]
