"""Stores of many short sequences: what training and evaluation do grows with frames, not with sequences."""

from __future__ import annotations

from pathlib import Path

import pytest

from auglift.lifters.evaluation.evaluate import evaluate
from auglift.lifters.inputs import Inputs
from auglift.lifters.training.checkpoint import Run
from auglift.lifters.training.setup import Setup, parse_changes
from auglift.lifters.training.train import train
from auglift.stores.format.sequences import SequenceTable
from auglift.stores.reading.shardfile import ShardReader
from tests.fakes.people import people

COUNT, SUBJECTS = 1500, 10


def test_training_and_evaluation_read_chunks_and_never_go_through_sequences_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Every tenth sequence is held out: what is trained on lies in pieces of 18 frames."""
    store = people(tmp_path / "a.zarr", lengths=(2,) * COUNT, subjects=SUBJECTS, shard_frames=1024, presets=("paper",))
    reads: list[str] = []
    read = ShardReader.read

    def counted(self, name, *arguments):
        reads.append(name)
        read(self, name, *arguments)

    def one_by_one(self):
        raise AssertionError("sequence by sequence")

    monkeypatch.setattr(ShardReader, "read", counted)
    monkeypatch.setattr(SequenceTable, "__iter__", one_by_one)
    changes = parse_changes("simple_baseline", ["width=8", "blocks=1"])
    setup = Setup((store.url,), "simple_baseline", Inputs("xy"), 1, 512, 1, changes, device="cpu")
    train(setup, tmp_path / "run")
    in_training = len(reads)
    (result,) = evaluate(Run(tmp_path / "run"), [store.url], device="cpu")
    assert len(result.by["sequence"]) == COUNT
    # Three shards; three fields, once to train on and once held out, and which frames are valid, a few times over.
    assert in_training < 60
    assert len(reads) - in_training < 40
