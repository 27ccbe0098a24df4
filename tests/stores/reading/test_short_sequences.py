"""stores/reading/window_table.py: windows longer than every sequence, and windows about centres that were given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.stores.errors import InvalidValueError
from auglift.stores.reading import blocks
from auglift.stores.reading.store import FeatureStore
from auglift.stores.reading.windows import WindowLoader
from tests.fakes.stores import make_store

FIELDS = ("keypoints", "score", "source_frame")
LENGTHS = (1, 2, 7, 1, 1, 30, 4, 2)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return make_store(tmp_path_factory.mktemp("short") / "s.zarr", lengths=LENGTHS, shard_frames=16)


@pytest.fixture(scope="module")
def whole(short: FeatureStore) -> dict[str, np.ndarray]:
    return {name: np.asarray(short.array(name)[:]) for name in (*FIELDS, "valid")}


@settings(max_examples=40)
@given(
    half=st.integers(0, 60),
    stride=st.integers(1, 9),
    causal=st.booleans(),
    keep_invalid=st.booleans(),
    least=st.booleans(),
    some=st.sampled_from([3, 8, 1024]),
    rows=st.sets(st.integers(0, len(LENGTHS) - 1), min_size=1),
    allowed=st.one_of(st.none(), st.sets(st.integers(0, sum(LENGTHS) - 1))),
)
def test_every_window_is_what_its_sequence_alone_padded_with_its_edges_has(
    short, whole, half, stride, causal, keep_invalid, least, some, rows, allowed
):
    """A frame outside its sequence is the nearest one in it, however far outside."""
    chosen = [sequence for number, sequence in enumerate(short.sequences) if number in rows]
    window, left = 2 * half + 1, 2 * half if causal else half
    expected = [
        (frame, sequence)
        for sequence in chosen
        for frame in range(sequence.start, sequence.stop, stride)
        if (keep_invalid or whole["valid"][frame]) and (allowed is None or frame in allowed)
    ]
    options: dict[str, Any] = {"select": {"id": [sequence.id for sequence in chosen]}, "shuffle": False}
    options |= {"causal": causal, "keep_invalid": keep_invalid, "batch_size": 5}
    if allowed is not None:
        options["centres"] = [np.isin(np.arange(short.frames), list(allowed))]
    if not expected:
        with pytest.raises(InvalidValueError, match="no window is left"):
            WindowLoader(short, FIELDS, window, stride, **options)
        return
    loader = WindowLoader(short, FIELDS, window, stride, **options)
    while least and not loader.plan.pool:
        # A byte less than a plan needs, and the next best one is made, until it is one of blocks.
        try:
            loader = WindowLoader(short, FIELDS, window, stride, memory=loader.plan.bytes - 1, **options)
        except InvalidValueError:  # a few frames take less than any block
            break
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "SOME", some)
        batches = list(loader)
    for batch in batches:
        for index, frame in enumerate(batch["frame"].tolist()):
            sequence = expected[len(seen)][1]
            wanted = [frame - left + n for n in range(window)]
            nearest = [min(max(at, sequence.start), sequence.stop - 1) for at in wanted]
            for name in (*FIELDS, "valid"):
                np.testing.assert_array_equal(batch[name][index], whole[name][nearest], err_msg=name)
            assert batch["inside"][index].tolist() == [at == near for at, near in zip(wanted, nearest, strict=True)]
            seen.append(frame)
    assert seen == [frame for frame, _ in expected]


@pytest.mark.parametrize("centres", [[], [np.ones(3, bool)], [np.ones(sum(LENGTHS))], [None, None]])
def test_centres_that_are_not_a_boolean_a_frame_are_refused(short: FeatureStore, centres):
    with pytest.raises(InvalidValueError, match=r"centres: must be an array of booleans a store, one a frame \(48\)"):
        WindowLoader(short, FIELDS, 3, centres=centres)


def test_why_no_window_is_left_is_said(short: FeatureStore, whole):
    with pytest.raises(InvalidValueError, match=r": 48 were not among the centres given$"):
        WindowLoader(short, FIELDS, 3, centres=[np.zeros(48, bool)])
    invalid = whole["valid"] == 0
    words = f"{48 - invalid.sum()} were not among the centres given, {invalid.sum()} are not valid; keep_invalid keeps"
    with pytest.raises(InvalidValueError, match=words):
        WindowLoader(short, FIELDS, 3, centres=[invalid])
