"""lifters/training/validation.py, batches.thinned: what a training is validated on, and that its figure is a number."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.lifters.data.batches import loader_for, thinned
from auglift.lifters.inputs import Inputs
from auglift.lifters.models import build
from auglift.lifters.training.setup import Setup, parse_changes
from auglift.lifters.training.train import TrainingDivergedError, train
from auglift.stores.reading.store import FeatureStore
from tests.fakes.people import people

LENGTHS = ((40, 3, 25, 1, 6), (2,) * 30)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[FeatureStore]:
    """One of long and short sequences, one of short ones."""
    folder = tmp_path_factory.mktemp("validation")
    return [people(folder / f"{n}.zarr", lengths=lengths, bad=(0, 1, 30)) for n, lengths in enumerate(LENGTHS)]


def windows(stores: list[FeatureStore], stride: int, **more: Any):
    ids = [[row.id for row in store.sequences] for store in stores]
    model = build("simple_baseline", 6, 3, width=8)
    return loader_for(stores, ids, Inputs("uadd"), model, stride=stride, shuffle=False, **more)


def frames(loader) -> list[tuple[int, int]]:
    table = loader.table
    return list(zip(table.sequences["store"][table.sequence].tolist(), table.centre.tolist(), strict=True))


@settings(max_examples=60)
@given(stride=st.integers(1, 5), most=st.integers(1, 120), both=st.booleans(), sparse=st.sampled_from([1, 2, 3]))
def test_a_limit_is_kept_and_its_windows_are_spread_evenly(stores, stride: int, most: int, both: bool, sparse: int):
    used = stores if both else stores[:1]
    centres = [np.arange(store.frames) % sparse == sparse - 1 for store in used]
    every = windows(used, stride, centres=centres)
    kept = frames(windows(used, stride, centres=thinned(every, stride, most)))
    assert 1 <= len(kept) <= most
    assert set(kept) <= set(frames(every))
    # Where a longer stride alone keeps the limit, it is those windows.
    try:
        strided = frames(windows(used, stride * -(-every.windows // most), centres=centres))
    except ValueError:
        return
    assert kept == strided[:: -(-len(strided) // most)]


def test_a_training_of_many_short_sequences_is_validated_on_as_many_windows_as_the_limit_says(tmp_path: Path):
    url = people(tmp_path / "a.zarr", lengths=(2,) * 60, subjects=6).url
    counted = []

    class Counted:
        def __init__(self, batch):
            counted.append(len(batch["frame"]))

    changes = parse_changes("simple_baseline", ["width=8", "blocks=1"])
    setup = Setup((url,), "simple_baseline", Inputs("xy"), 1, 4, 1, changes, device="cpu", limit=8, held_out=0.5)
    from auglift.lifters.training import validation

    before = validation.examples
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "examples", lambda batch, *rest: (Counted(batch), before(batch, *rest))[1])
        train(setup, tmp_path / "run")
    assert sum(counted) == 8


def test_a_prediction_that_is_no_number_on_the_held_out_frames_stops_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Where none of the epochs has a figure, none could be the best."""
    url = people(tmp_path / "a.zarr", lengths=(20, 20)).url
    setup = Setup((url,), "simple_baseline", Inputs("xy"), 1, 4, 1, parse_changes("simple_baseline", ["width=8"]))
    monkeypatch.setattr("auglift.lifters.training.train.validate", lambda *_: (math.inf, 17))
    with pytest.raises(TrainingDivergedError, match=r"held-out frames became inf in epoch 1; .*nothing is kept"):
        train(setup, tmp_path / "run")
