"""stores/reading/labelled.py: what xarray shows is what the store holds, named, and only what is used is read."""

from __future__ import annotations

import builtins
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.stores.errors import (
    CorruptStoreError,
    InvalidValueError,
    MissingExtraError,
    MissingFieldError,
    StoreIncompleteError,
)
from auglift.stores.format.schema import UADD_STATISTICS
from auglift.stores.format.skeleton import H36M_17
from auglift.stores.reading import labelled
from auglift.stores.reading.store import FeatureStore

from ...fakes.derived import Part
from ...fakes.stores import make_store

xr = pytest.importorskip("xarray")

# With positions, which are named otherwise than the depths of the other descriptors.
MADE = Part(lengths=(40, 23, 31), presets=("paper", "spatial", "fixed"))


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("labelled") / "s"
    MADE.run(path)
    return path


@pytest.fixture(scope="module")
def store(path) -> FeatureStore:
    return FeatureStore.open(path)


def test_every_field_is_there_with_the_stores_values_units_and_dtypes(store):
    ds = store.to_xarray()
    assert set(ds.data_vars) == set(store.fields)
    for name, spec in store.fields.items():
        np.testing.assert_array_equal(ds[name].values, store.read(name))
        assert (ds[name].dtype, ds[name].attrs["units"]) == (spec.dtype, spec.unit)
    assert ds.attrs["fingerprint"] == store.fingerprint


def test_joints_axes_and_statistics_are_chosen_by_name(store):
    ds = store.to_xarray()
    wrist = H36M_17.index("left_wrist")
    chosen = ds.sel(joint="left_wrist")
    np.testing.assert_array_equal(chosen["keypoints"], store.read("keypoints")[:, wrist])
    np.testing.assert_array_equal(ds["keypoints"].sel(xy="y"), store.read("keypoints")[..., 1])
    np.testing.assert_array_equal(ds["target/pose3d"].sel(xyz="z"), store.read("target/pose3d")[..., 2])
    for preset, dimension in (("paper", "stat"), ("spatial", "stat_spatial"), ("fixed", "stat_fixed")):
        assert tuple(ds[dimension].values) == UADD_STATISTICS[preset]
    depth = ds["uadd/spatial"].sel(joint=["nose", "pelvis"], stat_spatial="x_max")
    np.testing.assert_array_equal(depth, store.read("uadd/spatial")[:, [H36M_17.index("nose"), 0], 5])
    assert ds["bbox"].sel(bbox_value="score").shape == (94,)


def test_time_begins_anew_in_every_sequence_and_the_id_says_which(store):
    ds = store.to_xarray()
    expected = np.concatenate([np.arange(row.length) / row.fps for row in store.sequences])
    np.testing.assert_array_equal(ds["time"], expected)
    assert ds["sequence"].values.tolist() == [row.id for row in store.sequences for _ in range(row.length)]


def test_some_sequences_are_those_frames_and_time_selects_in_one(store):
    rows = [store.sequences[0], store.sequences[2]]
    for asked in ([rows[1].id, rows[0].id], store.sequences.select(camera="cam1")):
        ds = store.to_xarray(asked)
        frames = np.concatenate([np.arange(row.start, row.stop) for row in rows])
        np.testing.assert_array_equal(ds["score"], store.read("score")[frames])
    one = store.to_xarray(rows[1].id).swap_dims(frame="time")
    np.testing.assert_array_equal(
        one["score"].sel(time=slice(0.1, 0.2)), store.read("score")[rows[1].start + 5 : rows[1].start + 11]
    )
    with pytest.raises(InvalidValueError, match="no sequence 'nobody'"):
        store.to_xarray(["nobody"])
    with pytest.raises(InvalidValueError, match="no sequence"):
        store.to_xarray([])


def some_of(count: int):
    """Slices that hold something: xarray fails of itself at empty ones that run backwards."""
    return st.slices(count).filter(lambda part: len(range(*part.indices(count))) > 0)


@settings(max_examples=40)
@given(st.data())
def test_any_index_gives_what_numpy_gives(store, data):
    rows = data.draw(
        st.one_of(
            st.integers(-94, 93),
            some_of(94),
            st.lists(st.integers(-94, 93), max_size=5).map(lambda part: np.array(part, np.int64)),
        )
    )
    joint = data.draw(st.one_of(st.integers(0, 16), some_of(17), st.just(np.array([3, 3, 1]))))
    expected = store.read("uadd/paper")[rows][..., joint, :]
    np.testing.assert_array_equal(store.to_xarray()["uadd/paper"].isel(frame=rows, joint=joint), expected)


def test_nothing_is_read_before_it_is_used_and_then_only_those_frames(path, monkeypatch):
    reads: list[tuple[str, int, int]] = []
    original = FeatureStore.read

    def counted(self, name, start=0, stop=None):
        reads.append((name, start, self.frames if stop is None else stop))
        return original(self, name, start, stop)

    monkeypatch.setattr(FeatureStore, "read", counted)
    monkeypatch.setattr(labelled, "GAP", 8)
    ds = FeatureStore.open(path).to_xarray()
    part = ds.sel(joint="nose").isel(frame=[90, 5, 3])
    repr(part)
    part = part["score"]
    assert reads == []
    part.load()
    assert reads == [("score", 3, 6), ("score", 90, 91)]
    reads.clear()
    assert ds["time"].values[-1] > 0
    assert reads == []


def test_a_shard_that_is_lost_or_not_yet_written_is_an_error_and_never_nan(tmp_path):
    MADE.run(tmp_path / "half", shards=2)
    ds = FeatureStore.open(tmp_path / "half", allow_incomplete=True).to_xarray()
    assert ds["score"][:32].shape == ds["score"][:32].load().shape
    with pytest.raises(StoreIncompleteError, match="not written yet"):
        ds["score"][30:40].load()
    MADE.run(tmp_path / "half")
    (tmp_path / "half" / "score" / "c" / "1" / "0").unlink()
    with pytest.raises(CorruptStoreError, match="is missing"):
        FeatureStore.open(tmp_path / "half").to_xarray()["score"].load()


@pytest.mark.filterwarnings("ignore")  # xarray writes texts in a way that Zarr calls unstable
def test_what_xarray_writes_from_it_has_the_values_and_names(store, tmp_path):
    store.to_xarray("a/S1/walk 0/cam2")[["keypoints", "score", "valid"]].to_zarr(tmp_path / "x.zarr")
    back = xr.open_zarr(tmp_path / "x.zarr", chunks=None)
    np.testing.assert_array_equal(back["keypoints"], store.read("keypoints", 40, 63))
    assert back["sequence"].values[0] == "a/S1/walk 0/cam2"


def test_dask_is_not_needed_and_without_xarray_the_error_says_what_to_install(store, monkeypatch):
    code = (
        "import sys\n"
        "from auglift.stores import FeatureStore\n"
        f"print(FeatureStore.open({str(store.url)!r}).to_xarray()['score'][3].values.shape, 'dask' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "(17,) False", done.stderr
    original = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", lambda name, *rest: _refuse(name, original, rest))
    with pytest.raises(MissingExtraError, match=r"auglift\[xarray\]"):
        store.to_xarray()


def _refuse(name, original, rest):
    if name == "xarray":
        raise ImportError(name)
    return original(name, *rest)


# --- movement


def test_a_sequence_is_the_poses_dataset_that_movement_describes(store, monkeypatch):
    """Its rules, restated: movement/validators/datasets.py, ValidPosesInputs, of version 0.17."""
    monkeypatch.setattr(labelled.metadata, "version", lambda package: "0.17.0")
    ds = store.to_movement("a/S1/walk 0/cam2")
    assert {name: ds[name].dims for name in ds.data_vars} == {
        "position": ("time", "space", "keypoint", "individual"),
        "confidence": ("time", "keypoint", "individual"),
    }
    assert ds["space"].values.tolist() == ["x", "y"]
    assert ds["keypoint"].values.tolist() == list(H36M_17.joints)
    assert ds["individual"].values.tolist() == ["person"]
    np.testing.assert_array_equal(ds["time"], np.arange(23, dtype=np.float64) / 50)
    assert ds.attrs == {"fps": 50.0, "time_unit": "seconds", "source_software": "auglift", "ds_type": "poses"}
    np.testing.assert_array_equal(
        ds["position"].sel(space="y", keypoint="nose", individual="person"),
        store.read("keypoints", 40, 63)[:, H36M_17.index("nose"), 1],
    )
    np.testing.assert_array_equal(ds["confidence"][..., 0], store.read("score", 40, 63))


def test_ground_truth_has_three_axes_and_no_confidence(store, monkeypatch):
    monkeypatch.setattr(labelled.metadata, "version", lambda package: "0.17.0")
    ds = store.to_movement("a/S1/walk 0/cam2", "target/pose3d")
    assert ds["space"].values.tolist() == ["x", "y", "z"]
    assert np.isnan(ds["confidence"]).all()
    np.testing.assert_array_equal(
        ds["position"][..., 0].transpose("time", "keypoint", "space"), store.read("target/pose3d", 40, 63)
    )
    with pytest.raises(InvalidValueError, match="holds no positions"):
        store.to_movement("a/S1/walk 0/cam2", "uadd/paper")
    with pytest.raises(MissingFieldError, match="has no target/x"):
        store.to_movement("a/S1/walk 0/cam2", "target/x")
    with pytest.raises(InvalidValueError, match="no sequence has id=nobody"):
        store.to_movement("nobody")


def test_without_a_frame_rate_time_counts_frames(tmp_path, monkeypatch):
    store = make_store(tmp_path / "s", lengths=(5,), only=("keypoints", "score", "valid"))
    table = store.sequences.table
    rates = table.set_column(table.schema.get_field_index("fps"), "fps", [[float("nan")]])
    store.sequences = type(store.sequences)(rates)
    ds = store.to_movement(store.sequences[0].id)
    assert ds.attrs == {"time_unit": "frames", "source_software": "auglift", "ds_type": "poses"}
    assert ds["time"].values.tolist() == [0, 1, 2, 3, 4]
    assert np.isnan(store.to_xarray()["time"]).all()


@pytest.mark.parametrize(
    ("version", "names"), [("0.16.2", ("keypoints", "individuals")), ("0.17.0", ("keypoint", "individual"))]
)
def test_dimensions_are_called_as_the_installed_movement_calls_them(store, monkeypatch, version, names):
    monkeypatch.setattr(labelled.metadata, "version", lambda package: version)
    assert store.to_movement("a/S1/walk 0/cam2")["confidence"].dims == ("time", *names)


def test_movement_itself_takes_it(store):
    datasets = pytest.importorskip(
        "movement.validators.datasets", reason="needs the package movement, whose rules are restated above"
    )
    from movement.filtering import (  # pyright: ignore[reportMissingImports]
        filter_by_confidence,
        rolling_filter,
    )
    from movement.kinematics import compute_velocity  # pyright: ignore[reportMissingImports]

    for positions in ("keypoints", "target/pose3d"):
        ds = store.to_movement("a/S1/walk 0/cam2", positions)
        datasets.ValidPosesInputs.validate(ds)
        same = datasets.ValidPosesInputs(
            position_array=ds["position"].values,
            confidence_array=ds["confidence"].values,
            individual_names=["person"],
            keypoint_names=list(H36M_17.joints),
            fps=50.0,
            source_software="auglift",
        ).to_dataset()
        xr.testing.assert_identical(ds, same)
        assert rolling_filter(ds["position"], window=3).shape == ds["position"].shape
        assert compute_velocity(ds["position"]).shape == ds["position"].shape
        assert filter_by_confidence(ds["position"], ds["confidence"], threshold=0.5).shape == ds["position"].shape


def test_a_lazy_dataset_travels_to_another_process(store):
    there = pickle.loads(pickle.dumps(store.to_xarray()))
    np.testing.assert_array_equal(there["score"][2], store.read("score")[2])
