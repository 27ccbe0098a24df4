"""pipeline/datasets/formats/pickles.py: arrays as NumPy pickled them, and nothing that runs or names an address."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest

from auglift.pipeline.datasets.formats.pickles import load_pickle, read_pickle
from auglift.stores.errors import InvalidValueError
from auglift.stores.export.npz import dump

ARRAYS = {
    "numbers": np.arange(12, dtype=np.float32).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "big": np.arange(4, dtype=">i2"),
    "text": np.array(["ab", "c"]),
    "truth": np.array([True, False]),
    "scalar": np.float64(2.5),
    "empty": np.zeros((0, 3)),
    "nested": [np.ones(2), (np.zeros(1, np.uint8), {"a": [1, "b", None]})],
}


def same(a, b) -> bool:
    if isinstance(a, np.ndarray):
        if type(b) is not np.ndarray or a.shape != b.shape or a.dtype != b.dtype:
            return False
        return all(map(same, a.ravel().tolist(), b.ravel().tolist())) if a.dtype == object else bool((a == b).all())
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) and type(a) is type(b)


def load(data: bytes):
    return load_pickle(io.BytesIO(data), "x.pkl")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_containers_are_what_numpy_pickled(protocol):
    assert same(ARRAYS, load(pickle.dumps(ARRAYS, protocol=protocol)))


def test_arrays_of_objects_hold_real_arrays():
    made = np.empty((2, 2), object)
    made[0, 0], made[0, 1], made[1, 0], made[1, 1] = {"a": np.arange(3)}, [np.ones(1)], None, "x"
    for array in (made, np.asfortranarray(made), np.array(ARRAYS, dtype=object)):
        assert same(array, load(pickle.dumps(array, protocol=4)))


def test_what_our_own_exports_pickle_is_read_and_can_be_written_to():
    sink = io.BytesIO()
    dump({"a": ARRAYS["numbers"], "b": [1, (2, "c")]}, sink)
    found = load(sink.getvalue())
    assert same(found, {"a": ARRAYS["numbers"], "b": [1, (2, "c")]})
    found["a"][0, 0] = 7


def test_what_is_shared_stays_shared_and_a_list_may_hold_itself():
    shared = np.arange(3)
    loop: list = [shared, shared]
    loop.append(loop)
    found = load(pickle.dumps(loop))
    assert found[0] is found[1]
    assert found[2] is found


class Made:
    """Pickles as a call."""

    def __init__(self, call, arguments, state=None):
        self.made = (call, arguments) if state is None else (call, arguments, state)

    def __reduce__(self):
        return self.made


ADDRESS = bytes(range(8))
OBJECTS = np.dtype("O")


@pytest.mark.parametrize(
    "hostile",
    [
        Made(np.ndarray, ((1,), "O", bytearray(ADDRESS))),
        Made(np.ndarray, ((1,), OBJECTS, ADDRESS)),
        Made(np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), (1, (1,), OBJECTS, False, ADDRESS)),  # type: ignore[attr-defined]
        Made(np._core.multiarray.scalar, (OBJECTS, ADDRESS)),  # type: ignore[attr-defined]
        Made(np._core.numeric._frombuffer, (ADDRESS, OBJECTS, (1,), "C")),  # type: ignore[attr-defined]
        Made(np.ndarray, ((4,), "f8", bytearray(8))),
        Made(np.dtype, ([("a", "O")],)),
        np.zeros(1, [("a", "f4")]),
        OBJECTS,
    ],
)
def test_bytes_never_become_addresses_and_sizes_must_agree(hostile):
    with pytest.raises(InvalidValueError, match="refused"):
        load(pickle.dumps({"a": [hostile]}))


def test_another_thing_than_a_dictionary_is_refused_where_one_is_wanted(tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps([1]))
    with pytest.raises(InvalidValueError, match="holds a list"):
        read_pickle(tmp_path / "x.pkl")
