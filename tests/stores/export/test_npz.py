"""stores/export/npz.py: what is pickled loads wherever VideoPose3D and MMPose run, also where NumPy is old."""

from __future__ import annotations

import io
import pickle
import zipfile

import numpy as np
import pytest

from auglift.stores.export.npz import Pickled, dump, write_npz

VALUE = {
    "S1": {"Walking 1": [np.arange(6, dtype=np.float32).reshape(1, 3, 2), np.zeros((0, 2), np.float32)]},
    "w": 1000,
    "lists": [[4, 5], [1, 2]],
    ("S1", "54138969"): {"f": np.array([[1145.0], [1143.0]])},
}


def names_in(data: bytes) -> set[str]:
    """The names that unpickling looks up."""
    found = set()

    class Watching(pickle.Unpickler):
        def find_class(self, module, name):
            found.add(f"{module}.{name}")
            return super().find_class(module, name)

    Watching(io.BytesIO(data)).load()
    return found


def same(a, b) -> bool:
    if isinstance(a, np.ndarray):
        return type(b) is np.ndarray and a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.fixture
def path(tmp_path):
    write_npz(tmp_path / "a.npz", [("positions", Pickled(VALUE)), ("plain", np.arange(5)), ("names", np.array(["ä"]))])
    return tmp_path / "a.npz"


def test_numpy_loads_it_and_item_gives_the_dictionary(path):
    with np.load(path, allow_pickle=True) as found:
        assert found["positions"].shape == ()
        assert same(VALUE, found["positions"].item())
        np.testing.assert_array_equal(found["plain"], np.arange(5))
        assert found["names"].tolist() == ["ä"]


def test_without_leave_to_unpickle_the_plain_entries_load_and_the_others_do_not(path):
    with np.load(path) as found:
        np.testing.assert_array_equal(found["plain"], np.arange(5))
        with pytest.raises(ValueError, match="allow_pickle"):
            found["positions"]


def test_arrays_can_be_written_to_as_videopose3d_does(path):
    with np.load(path, allow_pickle=True) as found:
        array = found["positions"].item()["S1"]["Walking 1"][0]
    array[..., :2] = array[..., :2] / 1000 * 2 - [1, 1]
    assert array[0, 0].tolist() == [-1, np.float32(0.002 - 1)]


def test_nothing_is_looked_up_but_what_every_numpy_has(path):
    with zipfile.ZipFile(path) as archive:
        data = archive.read("positions.npy")
    begin = 10 + int.from_bytes(data[8:10], "little")
    assert names_in(data[begin:]) == {"numpy.array", "numpy.ndarray", "builtins.bytearray"}
    sink = io.BytesIO()
    dump(VALUE, sink)
    assert names_in(sink.getvalue()) == {"numpy.ndarray", "builtins.bytearray"}
    assert same(VALUE, pickle.loads(sink.getvalue()))


def test_the_check_sees_what_it_must():
    """What NumPy pickles by itself names modules that an older one lacks."""
    assert any("numpy._core" in name for name in names_in(pickle.dumps(np.arange(3), protocol=4)))


def test_the_same_members_give_the_same_bytes(path, tmp_path):
    write_npz(tmp_path / "b.npz", [("positions", Pickled(VALUE)), ("plain", np.arange(5)), ("names", np.array(["ä"]))])
    assert (tmp_path / "b.npz").read_bytes() == path.read_bytes()
