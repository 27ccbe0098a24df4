"""stores/export.py: each format read back the way the project that it is made for reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auglift.stores.errors import InvalidValueError, StoreIncompleteError, StoreWriteError
from auglift.stores.export import FORMATS, export, interpolate
from auglift.stores.schema import FIELDS
from auglift.stores.skeleton import H36M_17
from auglift.stores.store import FeatureStore

from ..fakes.folders import digest_of_folder
from ..fakes.stores import MadeStore, make_store

MADE = MadeStore(presets=("paper", "spatial"))


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> FeatureStore:
    path = tmp_path_factory.mktemp("store") / "s.zarr"
    MADE.run(path)
    return FeatureStore.open(path)


def values(name: str, row) -> np.ndarray:
    return MADE.values(FIELDS[name])[row.start : row.stop]


# --- VideoPose3D


def load_as_videopose3d(path: Path) -> tuple[dict, dict]:
    """What its run.py does with data_2d_*.npz."""
    keypoints = np.load(path, allow_pickle=True)
    metadata = keypoints["metadata"].item()
    return keypoints["positions_2d"].item(), metadata


def test_videopose3d_finds_subjects_actions_and_cameras(store, tmp_path):
    done = export(store, "videopose3d", tmp_path)
    assert [path.name for path in done.paths] == ["data_2d_fake_auglift.npz", "data_3d_fake_auglift.npz"]
    assert done.frames == 50
    keypoints, metadata = load_as_videopose3d(done.paths[0])
    assert {s: {a: len(c) for a, c in actions.items()} for s, actions in keypoints.items()} == {
        "S1": {"walk 0": 2},
        "S2": {"walk 1": 1},
    }
    assert metadata["num_joints"] == 17
    assert metadata["cameras"] == {"S1": {"walk 0": ["cam1", "cam2"]}, "S2": {"walk 1": ["cam1"]}}
    for row in store.sequences:
        camera = metadata["cameras"][row.subject][row.action].index(row.camera)
        found = keypoints[row.subject][row.action][camera]
        known = values("valid", row) > 0
        assert found.shape == (row.length, 17, 2)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found[known], values("keypoints", row)[known])
        assert np.isfinite(found).all()


def test_videopose3ds_flip_swaps_left_and_right(store, tmp_path):
    """Its generator flips by `kps[:, left + right] = kps[:, right + left]`."""
    _, metadata = load_as_videopose3d(export(store, "videopose3d", tmp_path).paths[0])
    left, right = (list(side) for side in metadata["keypoints_symmetry"])
    order = np.arange(17)
    order[left + right] = order[right + left]
    np.testing.assert_array_equal(order, H36M_17.flip)
    assert left == [4, 5, 6, 11, 12, 13]


def test_videopose3d_normalises_by_the_size_in_its_metadata(store, tmp_path):
    """Its normalize_screen_coordinates maps [0, w] to [-1, 1] and asks custom datasets for w and h by subject."""
    _, metadata = load_as_videopose3d(export(store, "videopose3d", tmp_path).paths[0])
    assert metadata["video_metadata"]["S1"] == {"w": 1000, "h": 1002}


def test_videopose3d_gets_the_truth_in_the_same_nesting(store, tmp_path):
    paths = export(store, "videopose3d", tmp_path).paths
    keypoints, metadata = load_as_videopose3d(paths[0])
    truth = np.load(paths[1], allow_pickle=True)["positions_3d"].item()
    for subject, actions in keypoints.items():
        for action, cameras in actions.items():
            assert [len(c) for c in cameras] == [len(c) for c in truth[subject][action]]
    row = store.sequences[1]
    camera = metadata["cameras"]["S1"]["walk 0"].index(row.camera)
    np.testing.assert_array_equal(truth["S1"]["walk 0"][camera], values("target/pose3d", row))


def test_a_video_without_a_subject_is_a_custom_one(tmp_path):
    made = MadeStore(lengths=(8,), only=("keypoints", "valid"))
    bare = type(made.sequences[0])(**{**vars(made.sequences[0]), "subject": "", "action": "", "id": "clip"})

    class Bare(MadeStore):
        @property
        def sequences(self):
            return type(super().sequences).from_sequences([bare])

    Bare(lengths=(8,), only=("keypoints", "valid")).run(tmp_path / "s")
    done = export(FeatureStore.open(tmp_path / "s"), "videopose3d", tmp_path / "out")
    keypoints, metadata = load_as_videopose3d(done.paths[0])
    assert list(keypoints) == list(metadata["video_metadata"]) == ["clip"]
    assert list(keypoints["clip"]) == ["custom"]
    assert len(done.paths) == 1, "there is no truth to write"


@given(st.lists(st.booleans(), min_size=1, max_size=12).filter(any))
def test_gaps_are_filled_on_the_line_between_their_ends(known):
    frames = np.arange(len(known), dtype=np.float32)
    line = np.stack([3 * frames + 1, -frames], axis=-1)[:, None]
    with_gaps = np.where(np.array(known)[:, None, None], line, np.nan)
    filled = interpolate(with_gaps, np.array(known))
    inside = np.flatnonzero(known)
    first, last = inside[0], inside[-1]
    np.testing.assert_allclose(filled[first : last + 1], line[first : last + 1], atol=1e-5)
    np.testing.assert_array_equal(filled[:first], np.broadcast_to(line[first], (first, 1, 2)))
    np.testing.assert_array_equal(filled[last:], np.broadcast_to(line[last], (len(known) - last, 1, 2)))


def test_what_was_interpolated_and_left_out_is_said(tmp_path):
    class OneEmpty(MadeStore):
        def values(self, spec):
            found = super().values(spec)
            if spec.name in ("valid", "keypoints"):
                found[:23] = 0 if spec.name == "valid" else np.nan
            return found

    OneEmpty().run(tmp_path / "s")
    notes = export(FeatureStore.open(tmp_path / "s"), "videopose3d", tmp_path / "out").notes
    assert "S1/walk 0/cam1 is left out: nobody is found" in notes[0]
    unknown = int((MadeStore().values(FIELDS["valid"])[23:] == 0).sum())
    assert notes[1] == f"{unknown} of 27 frames have nobody in them and are interpolated"
    opened = FeatureStore.open(tmp_path / "s")
    empty = opened.sequences.select(camera="cam1", subject="S1")
    with pytest.raises(InvalidValueError, match="nobody is found"):
        export(opened, "videopose3d", tmp_path / "none", empty)


# --- MMPose


def test_mmpose_annotations_need_no_pickle_and_have_its_keys(store, tmp_path):
    annotations, detections = export(store, "mmpose", tmp_path).paths
    with np.load(annotations) as found:  # allow_pickle is off by default
        shapes = {key: found[key].shape for key in found.files}
        kinds = {key: found[key].dtype.kind for key in found.files}
        assert shapes == {"imgname": (50,), "center": (50, 2), "scale": (50,), "part": (50, 17, 3), "S": (50, 17, 4)}
        assert kinds == {"imgname": "U", "center": "f", "scale": "f", "part": "f", "S": "f"}
        known = MADE.values(FIELDS["valid"]) > 0
        box = MADE.values(FIELDS["bbox"])[known]
        np.testing.assert_allclose(found["center"][known], (box[:, :2] + box[:, 2:4]) / 2, rtol=1e-6)
        np.testing.assert_allclose(found["scale"][known] * 200, (box[:, 2:4] - box[:, :2]).max(axis=1), rtol=1e-5)
        assert found["imgname"][0] == "S1/S1_walk_0.cam1/S1_walk_0.cam1_000001.jpg"
        assert len(set(found["imgname"])) == 50
    assert np.load(detections).shape == (50, 17, 3)


def load_with_mmpose(folder: Path, **options):
    datasets = pytest.importorskip("mmpose.datasets.datasets.body3d.h36m_dataset", reason="MMPose is not installed")
    return datasets.Human36mDataset(
        ann_file="annotations_fake.npz",
        data_root=str(folder),
        data_prefix={"img": "images/"},
        test_mode=True,
        **options,
    )


@pytest.fixture(scope="module")
def with_mmpose():
    pytest.importorskip("mmpose", reason="MMPose is not installed")
    pytest.importorskip("auglift.pipeline.openmmlab").prepare()


def test_mmposes_own_dataset_reads_the_annotations(store, tmp_path, with_mmpose):
    export(store, "mmpose", tmp_path)
    dataset = load_with_mmpose(tmp_path)
    known = MADE.values(FIELDS["valid"]) > 0
    assert len(dataset) == known.sum(), "frames without a person are not visible, and MMPose leaves those out"
    frames = iter(np.flatnonzero(known))
    for index in range(len(dataset)):
        item, frame = dataset.get_data_info(index), next(frames)
        np.testing.assert_array_equal(item["keypoints"][0], MADE.values(FIELDS["target/keypoints"])[frame])
        np.testing.assert_array_equal(item["lifting_target"][0], MADE.values(FIELDS["target/pose3d"])[frame])
        assert item["keypoints_visible"].all()


def test_mmpose_cuts_windows_inside_sequences_and_takes_our_detections(store, tmp_path, with_mmpose):
    export(store, "mmpose", tmp_path)
    dataset = load_with_mmpose(
        tmp_path,
        seq_len=9,
        causal=False,
        keypoint_2d_src="detection",
        keypoint_2d_det_file="detections_fake.npy",
    )
    windows = [[int(i) for i in dataset.get_data_info(n)["img_ids"]] for n in range(len(dataset))]
    edges = [(row.start, row.stop) for row in store.sequences]
    assert len(windows) == sum(stop - start - 8 for start, stop in edges)
    for window in windows:
        assert any(start <= window[0] and window[-1] < stop for start, stop in edges)
    item = dataset.get_data_info(0)
    detected, score = MADE.values(FIELDS["keypoints"]), MADE.values(FIELDS["score"])
    known = MADE.values(FIELDS["valid"])[windows[0]] > 0
    np.testing.assert_array_equal(item["keypoints"][known], detected[windows[0]][known])
    np.testing.assert_array_equal(item["keypoints_visible"][known], score[windows[0]][known])
    assert (item["keypoints"][~known] == 0).all()


def test_names_that_mmpose_would_cut_wrongly_are_changed_and_stay_apart(tmp_path):
    rows = list(MadeStore(lengths=(3, 4)).sequences)
    awkward = {"subject": "sub_1.x", "action": "walk.fast/2", "camera": "c_1"}
    rows = [type(row)(**{**vars(row), **awkward}) for row in rows]

    class Awkward(MadeStore):
        @property
        def sequences(self):
            return type(super().sequences).from_sequences(rows)

    Awkward(lengths=(3, 4)).run(tmp_path / "s")
    path = export(FeatureStore.open(tmp_path / "s"), "mmpose", tmp_path / "out").paths[0]
    names = np.load(path)["imgname"]

    def cut(name: str) -> tuple[str, str, str]:  # as Human36mDataset does
        subject, rest = name.rsplit("/", 1)[-1].split("_", 1)
        action, rest = rest.split(".", 1)
        return subject, action, rest.split("_", 1)[0]

    assert [cut(name) for name in names] == [("sub-1-x", "walk_fast_2", "c-1")] * 3 + [
        ("sub-1-x", "walk_fast_2-2", "c-1")
    ] * 4


# --- Parquet


def test_parquet_has_a_row_a_frame_and_every_narrow_field(store, tmp_path):
    frames, table = export(store, "parquet", tmp_path).paths
    found = pq.read_table(frames)
    assert found.num_rows == 50
    assert found.column_names == ["sequence", "frame", *store.fields]
    for name, spec in store.fields.items():
        column = np.array(found[name].to_pylist(), dtype=spec.dtype)
        np.testing.assert_array_equal(column, MADE.values(spec))
    assert found["sequence"].to_pylist() == [row.id for row in store.sequences for _ in range(row.length)]
    assert found["frame"].to_pylist() == [n for row in store.sequences for n in range(row.length)]
    unit = found.schema.field("uadd/spatial").metadata
    assert unit[b"components"].startswith(b"d, d_min, d_max, x_min")
    assert [row["id"] for row in pq.read_table(table).to_pylist()] == [row.id for row in store.sequences]


# --- all of them


@pytest.mark.parametrize("format", FORMATS)
def test_a_selection_is_exported_alone(store, tmp_path, format):
    done = export(store, format, tmp_path, store.sequences.select(subject="S2"))
    assert done.frames == 18


@pytest.mark.parametrize("format", FORMATS)
def test_twice_gives_the_same_bytes_and_nothing_is_replaced_unasked(store, tmp_path, format):
    export(store, format, tmp_path / "a")
    first = digest_of_folder(tmp_path / "a")
    with pytest.raises(InvalidValueError, match=r"is there already.*--force"):
        export(store, format, tmp_path / "a")
    export(store, format, tmp_path / "a", overwrite=True)
    assert digest_of_folder(tmp_path / "a") == first


@pytest.mark.parametrize("format", FORMATS)
def test_a_folder_that_cannot_be_written_is_an_error_and_leaves_nothing(store, tmp_path, format):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreWriteError, match="choose another --out"):
        export(store, format, tmp_path / "file" / "deeper")


def test_a_shard_lost_half_way_leaves_no_half_file(tmp_path):
    opened = make_store(tmp_path / "s")
    (tmp_path / "s" / "keypoints" / "c" / "3" / "0" / "0").unlink()
    with pytest.raises(ValueError, match="shard 3"):
        export(opened, "parquet", tmp_path / "out")
    assert digest_of_folder(tmp_path / "out") == {}


def test_a_format_that_does_not_exist_is_refused_with_those_that_do(store, tmp_path):
    with pytest.raises(InvalidValueError, match="there are videopose3d, mmpose, parquet"):
        export(store, "coco", tmp_path)


def test_a_half_built_store_is_not_exported(tmp_path):
    MadeStore().run(tmp_path / "s", shards=1)
    with pytest.raises(StoreIncompleteError):
        FeatureStore.open(tmp_path / "s")
    with pytest.raises(StoreIncompleteError, match="not written yet"):
        export(FeatureStore.open(tmp_path / "s", allow_incomplete=True), "parquet", tmp_path / "out")
