"""windows.py: windows are what a slow and simple reader would cut, each exactly once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from auglift.stores.errors import AugliftError, CorruptStoreError
from auglift.stores.format.layout import array_key
from auglift.stores.reading.store import FeatureStore
from auglift.stores.reading.windows import WindowLoader
from tests.fakes.stores import ids, make_store

from .window_reader import FIELDS, MODES, cut, loader_in_blocks, readers


@pytest.fixture(scope="module")
def whole(stores) -> list[dict[str, np.ndarray]]:
    """Every field of every store, as Zarr reads it."""
    return [{name: np.asarray(store.array(name)[:]) for name in (*FIELDS, "valid")} for store in stores]


@settings(deadline=None, max_examples=40, phases=(Phase.explicit, Phase.generate))
@given(
    window=st.integers(0, 175).map(lambda half: 2 * half + 1),
    stride=st.integers(1, 400),
    causal=st.booleans(),
    keep_invalid=st.booleans(),
    batch_size=st.integers(30, 700),
    blocks=st.booleans(),
    shuffle=st.booleans(),
    both=st.booleans(),
)
def test_every_window_is_what_a_simple_reader_cuts(
    stores, whole, window, stride, causal, keep_invalid, batch_size, blocks, shuffle, both
):
    make = loader_in_blocks if blocks else WindowLoader
    options: dict[str, Any] = {"causal": causal, "keep_invalid": keep_invalid, "shuffle": shuffle}
    used = stores if both else stores[:1]
    loader = make(used, FIELDS, window, stride, batch_size, **options)
    rows = [list(store.sequences) for store in used]
    seen = []
    for batch in loader:
        assert len(batch["frame"]) <= batch_size
        for index in range(0, len(batch["frame"]), 7):
            store, row, frame = (int(batch[name][index]) for name in ("store", "sequence", "frame"))
            sequence = rows[store][row]
            for name in (*FIELDS, "valid"):
                expected = cut(whole[store][name], sequence.start, sequence.stop, frame, window, causal)
                np.testing.assert_array_equal(batch[name][index], expected, err_msg=name)
            at = frame - (window - 1 if causal else window // 2) + np.arange(window)
            np.testing.assert_array_equal(batch["inside"][index], (at >= sequence.start) & (at < sequence.stop))
            assert batch["frame_size"][index].tolist() == [sequence.width, sequence.height]
            assert batch["fps"][index] == sequence.fps
        seen += ids([batch])
    expected = [
        (number, frame)
        for number, sequences in enumerate(rows)
        for sequence in sequences
        for frame in range(sequence.start, sequence.stop, stride)
        if keep_invalid or whole[number]["valid"][frame]
    ]
    assert sorted(seen) == expected
    assert len(seen) == loader.windows
    if not shuffle:
        assert seen == expected


@MODES
def test_a_batch_says_what_it_is_of(stores, make):
    loader = make(stores, FIELDS, 9, batch_size=64)
    batch = next(iter(loader))
    shapes = {name: (values.dtype.name, values.shape) for name, values in batch.items()}
    assert shapes == {
        "keypoints": ("float32", (64, 9, 17, 2)),
        "score": ("float32", (64, 9, 17)),
        "uadd/paper": ("float32", (64, 9, 17, 3)),
        "source_frame": ("int32", (64, 9)),
        "target/pose3d": ("float32", (64, 9, 17, 3)),
        "valid": ("bool", (64, 9)),
        "inside": ("bool", (64, 9)),
        "frame_size": ("float32", (64, 2)),
        "fps": ("float32", (64,)),
        "store": ("int32", (64,)),
        "sequence": ("int32", (64,)),
        "frame": ("int64", (64,)),
    }
    assert len(loader) == -(-loader.windows // 64) == sum(1 for _ in loader)


@MODES
def test_fields_wanted_at_the_centre_alone_are_the_middle_of_the_window(stores, make):
    whole_windows = make(stores, FIELDS, 27)
    centres = make(stores, FIELDS, 27, centre_fields=["target/pose3d", "score"])
    found = {}
    for batch in whole_windows:
        found |= {key: (batch["target/pose3d"][i, 13], batch["score"][i, 13]) for i, key in enumerate(ids([batch]))}
    for batch in centres:
        assert batch["target/pose3d"].shape[1:] == (1, 17, 3)
        assert batch["keypoints"].shape[1:] == (27, 17, 2)
        for index, key in enumerate(ids([batch])):
            np.testing.assert_array_equal(batch["target/pose3d"][index, 0], found[key][0])
            np.testing.assert_array_equal(batch["score"][index, 0], found[key][1])


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> FeatureStore:
    folder = tmp_path_factory.mktemp("wide")
    return make_store(folder / "w.zarr", lengths=(500, 80, 700), shard_frames=256, optional=("feature/depth",))


@pytest.mark.parametrize(
    ("window", "options"),
    [
        (1, {}),
        (1, {"shuffle": False}),
        (1, {"stride": 3, "drop_last": True}),
        (1, {"weights": [0.3]}),
        (1, {"weights": [1.5]}),
        (9, {"centre_fields": ["feature/depth"]}),
        (9, {}),
    ],
)
@pytest.mark.parametrize("by_hand", [True, False])
def test_learned_features_are_those_of_their_frames(wide, monkeypatch, window, options, by_hand):
    options = dict(options)
    if not by_hand:
        monkeypatch.setattr("auglift.stores.reading.shardfile.shard_format", lambda _: None)
    features, scores = wide.array("feature/depth")[:], wide.array("score")[:]
    fields = ["feature/depth", "score"]
    loader = loader_in_blocks(wide, fields, window, batch_size=40, **options)
    seen = []
    for batch in loader:
        seen += batch["frame"].tolist()
        middle = batch["feature/depth"].shape[1] // 2
        np.testing.assert_array_equal(batch["feature/depth"][:, middle], features[batch["frame"]])
        np.testing.assert_array_equal(batch["score"][:, window // 2], scores[batch["frame"]])
    memory = loader.plan.budget
    again = WindowLoader(wide, fields, window, batch_size=40, memory=memory, **options)
    again.load_state_dict({**again.state_dict(), "batch": 5})
    assert [frame for batch in again for frame in batch["frame"].tolist()] == seen[200:]
    options.pop("centre_fields", None)
    everything = WindowLoader(wide, ["valid"], window, batch_size=40, **options)
    assert sorted(seen) == sorted(frame for batch in everything for frame in batch["frame"].tolist()) or (
        options.get("drop_last")
    )


def test_a_flipped_bit_in_learned_features_is_an_error(tmp_path):
    store = make_store(tmp_path / "w.zarr", lengths=(900,), shard_frames=256, optional=("feature/depth",))
    path = tmp_path / "w.zarr" / array_key(store.fields["feature/depth"], 2)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptStoreError, match="'feature/depth'"):
        list(loader_in_blocks(store, ["feature/depth"], 1, batch_size=40))
    assert readers() == 0


def test_every_error_is_one_line(stores):
    with pytest.raises(AugliftError) as error:
        WindowLoader(stores, ["nothing"], 3)
    assert "\n" not in str(error.value)
